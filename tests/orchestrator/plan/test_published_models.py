"""Published models on somebody's documents: what a plan holds of them, and what it refuses before any work."""

import json
import sys

import pytest
import safetensors.torch

from orchestrator.bench.models import build
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError
from tests.support.published_models import saved
from tests.support.tokenizer_files import write_tokenizer

AUDIT = """
name = "published"
[data]
name = "jsonl"
options = { path = "people.jsonl", tokenizer = "llama", longest = 30, longer = "cut" }
[axes]
architecture = ["mine"]
method = ["finetune"]
forget_set = ["persons"]
[forget_sets.persons]
kind = "groups"
fraction = 0.3
[training]
epochs = 1
[architectures.mine]
weights = "llama"
[execution]
backend = "inline"
device = "cpu"
"""
FROM_CONFIGURATION = """transformers = "gpt2"
options = { n_embd = 32, n_layer = 2, n_head = 2, n_positions = 48, resid_pdrop = 0.0 }"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"text": f"person {p} likes {'tea ' * (1 + 20 * (p == 3))}today", "group": str(p)} for p in range(12)
    ]
    (tmp_path / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_tokenizer(tmp_path / "llama")
    saved("llama", tmp_path / "llama", words=290)
    return tmp_path


def plan(folder, *replacements):
    text = AUDIT
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    (folder / "audit.toml").write_text(text)
    return make_plan(load(str(folder / "audit.toml")))


def original(planned):
    (spec,) = (spec for spec in planned.models.values() if spec.kind == "original")
    return spec.model_id


def test_a_plan_says_what_was_cut_and_what_is_assumed(folder):
    notes = plan(folder).notes
    assert "1 of 12 documents are cut to 30 tokens" in notes
    assert any(
        note.startswith("architectures.mine.weights: training of every original, retrained and shadow model")
        for note in notes
    )
    assert not any(
        "weights" in note for note in plan(folder, ('weights = "llama"', FROM_CONFIGURATION)).notes
    )


def test_training_starts_from_the_weights_whatever_the_seed(folder):
    planned = plan(folder)
    states = [build(planned, "mine", path).state_dict() for path in (("original", 0), ("retrained", 0, 1))]
    held = safetensors.torch.load_file(folder / "llama" / "model.safetensors")
    for state in states:
        assert {name.removeprefix("body."): tensor.tolist() for name, tensor in state.items()} == {
            name: tensor.tolist() for name, tensor in held.items()
        }


def test_an_id_is_of_weights_tokenizer_and_all_sizes(folder):
    first = original(plan(folder))
    assert original(plan(folder)) == first
    tiny = ('weights = "llama"', FROM_CONFIGURATION)
    second = original(plan(folder, tiny))
    assert original(plan(folder, tiny, ("n_positions = 48", "n_positions = 48, attn_pdrop = 0.1"))) == second
    assert original(plan(folder, tiny, ("resid_pdrop = 0.0", "resid_pdrop = 0.1"))) != second
    assert (
        original(plan(folder, tiny, ('tokenizer = "llama"', 'tokenizer = "llama", end = "</s>"'))) != second
    )
    path = folder / "llama" / "model.safetensors"
    state = safetensors.torch.load_file(path)
    state["model.norm.weight"] += 1
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    assert original(plan(folder)) != first
    assert original(plan(folder, tiny)) == second


@pytest.mark.parametrize(
    ("replacements", "expected"),
    [
        (
            (('weights = "llama"', 'transformers = "lama"'),),
            "architectures.mine: no family of transformers 'lama'. Did you mean 'llama'?",
        ),
        (
            (('weights = "llama"', FROM_CONFIGURATION), ("n_embd", "n_embed")),
            "architectures.mine: no option of gpt2 'n_embed'. Did you mean 'n_embd'?",
        ),
        ((('weights = "llama"', 'weights = "none"'),), "architectures.mine: weights: no folder none"),
        (
            ((', longest = 30, longer = "cut"', ", longest = 50"),),
            "data.options: people.jsonl: line 4: expected at most",
        ),
        (
            (('tokenizer = "llama", longest = 30, longer = "cut"', 'tokenizer = "bytes"'),),
            "architectures.mine: expected documents of at most 49 tokens, as the model sees 48 at once",
        ),
        (
            (('tokenizer = "llama"', 'tokenizer = "bytes"'),),
            "architectures.mine: weights: expected documents in the words of llama/tokenizer.json, got others; set "
            'tokenizer = "llama" in data.options',
        ),
        (
            (('weights = "llama"', 'weights = "llama"\nlanguage = "gpt"'),),
            'architectures.mine: expected one of timm, language = "gpt" and transformers or weights, got several',
        ),
        (
            (("fraction = 0.3", 'name = "p"'), ('"groups"', '"part"')),
            "expected a data set with named parts (tofu)",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(folder, replacements, expected):
    with pytest.raises(AuditError) as caught:
        plan(folder, *replacements)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_extra_a_plan_is_one_line(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(AuditError) as caught:
        plan(folder)
    assert str(caught.value) == (
        "architectures.mine: expected the package transformers, which is not installed; pip install 'lethe[language]'"
    )


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_end_the_plan(folder, value):
    path = folder / "llama" / "model.safetensors"
    state = safetensors.torch.load_file(path)
    state["model.norm.weight"][3] = value
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(
        AuditError, match=r"architectures.mine: weights: .*'model.norm.weight': expected finite numbers"
    ):
        plan(folder)
