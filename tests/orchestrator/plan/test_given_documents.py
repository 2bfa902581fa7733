"""`[given]` of language models while planning: files and folders, which do not fit, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from orchestrator import sweep as sweep_command
from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError
from tasks.networks.gpt import build_gpt
from tasks.networks.gpt_options import GptOptions
from tests.support.commands import here
from tests.support.published_models import saved
from tests.support.tokenizer_files import write_tokenizer

WORDS = 290
AUDIT = """
[data]
name = "jsonl"
options = { path = "people.jsonl", test_path = "others.jsonl", tokenizer = "words", longest = 30 }
[axes]
architecture = ["mine"]
attack = ["none", "population"]
forget_set = ["groups:fraction=0.3"]
[architectures.mine]
config_folder = "o"
[given]
original = "o"
retrained = "r"
retrained_again = "s.safetensors"
[given.unlearned]
theirs = "u"
[execution]
backend = "inline"
device = "cpu"
"""
OWN = {
    'config_folder = "o"': 'language = "gpt"\noptions = { d = 16, layers = 1, heads = 2, tied = true }',
    '= "o"': '= "o.safetensors"',
    '= "r"': '= "r.safetensors"',
    '= "u"': '= "u.safetensors"',
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents, a tokenizer, and models of a llama and of Lethe's gpt."""
    folder = tmp_path_factory.mktemp("documents")
    for name, people in (("people", range(12)), ("others", range(12, 18))):
        lines = [{"text": f"person {p} likes tea today", "group": str(p)} for p in people]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_tokenizer(folder / "words")
    for number, name in enumerate("orsu"):
        body = saved("llama", folder / name, words=WORDS, seed=number).body
        safetensors.torch.save_file(body.state_dict(), folder / f"{name}_body.safetensors")
        write_tokenizer(folder / name)
    return folder


def write_own(folder: Path) -> None:
    """Lethe's own models in the place of files, the embedding once."""
    for number, name in enumerate("orsu"):
        options = GptOptions(d=16, layers=1, heads=2, tied=True)
        state = build_gpt(options, vocabulary=WORDS, seed_path=("own", number)).state_dict()
        del state["head.weight"]
        safetensors.torch.save_file(state, folder / f"{name}.safetensors")


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    for file in written.rglob("*.*"):
        place = tmp_path / file.relative_to(written)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(file.read_bytes())
    (tmp_path / "s_body.safetensors").rename(tmp_path / "s.safetensors")
    return tmp_path


def plan(folder: Path, **replaced: str) -> Plan:
    text = AUDIT
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "audit.toml").write_text(text)
    return make_plan(load(str(folder / "audit.toml")))


def files(made: Plan) -> dict[str, str]:
    """Names of files by method."""
    specs = {cell.method: made.models[cell.subject.id].file for cell in made.cells}
    return {method: file.path.name for method, file in specs.items() if file}


def test_folders_and_files_are_the_models_of_their_places(folder: Path) -> None:
    made = plan(folder)
    assert files(made) == {"no_op": "o", "retrain": "r", "retrain_again": "s.safetensors", "theirs": "u"}
    (told,) = [note for note in made.notes if note.startswith("given: models see")]
    assert "one document at once, of up to " in told
    assert f"by {folder}/words ({WORDS} words)" in told
    assert "what they began with, and whether that had seen what is forgotten, is not known here" in told
    assert [base.base for base in made.bases] == ["unknown"]
    before = {cell.cell_id for cell in made.cells if cell.method == "theirs"}
    path = folder / "u" / "model.safetensors"
    state = safetensors.torch.load_file(path)
    state["model.norm.weight"] += 1
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    after = plan(folder)
    assert before.isdisjoint(cell.cell_id for cell in after.cells)
    assert {c.cell_id for c in made.cells} - before == {
        c.cell_id for c in after.cells if c.method != "theirs"
    }


def test_lethes_own_models_are_files_whose_tied_weights_stand_there_once(folder: Path) -> None:
    write_own(folder)
    assert files(plan(folder, **OWN))["theirs"] == "u.safetensors"
    state = safetensors.torch.load_file(folder / "u.safetensors")
    state["head.weight"] = state["stem.tokens.weight"] + 1
    safetensors.torch.save_file(state, folder / "u.safetensors")
    with pytest.raises(
        AuditError, match=r"theirs: .*'stem.tokens.weight' and 'head.weight' differ, .* not tied"
    ):
        plan(folder, **OWN)


def test_an_original_that_knows_no_words_is_told(folder: Path) -> None:
    write_own(folder)
    plan(folder, **OWN)
    ran = here(sweep_command.main, folder / "audit.toml", "--out", folder / "results", "--dry-run")
    assert ran.returncode == 0, ran.stderr
    assert "of the tokens of 12 training documents and " in ran.stdout
    assert "AT CHANCE, as the loss of a token is 5." in ran.stdout


def described(name: str, **values: object) -> Callable[[Path], None]:
    """With other values in the config.json of a folder."""

    def act(folder: Path) -> None:
        path = folder / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return act


def with_nan(folder: Path) -> None:
    path = folder / "u" / "model.safetensors"
    state = safetensors.torch.load_file(path)
    state["model.norm.weight"][0] = torch.nan
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})


def other_words(folder: Path) -> None:
    write_tokenizer(folder / "u", size=280)


def public(folder: Path) -> None:
    (folder / "public.jsonl").write_text('{"text": "someone else", "group": "99"}\n')


def same_again(folder: Path) -> None:
    (folder / "s.safetensors").write_bytes((folder / "r_body.safetensors").read_bytes())


REFUSED: dict[str, tuple[Callable[[Path], None], dict[str, str], str]] = {
    "heads": (
        described("u", num_attention_heads=4),
        {},
        r"given.unlearned.theirs: .*u/config.json: expected the sizes .*, got num_attention_heads = 4 \(2 here\)",
    ),
    "family": (
        described("u", model_type="qwen2"),
        {},
        "given.unlearned.theirs: weights: expected a model of family llama",
    ),
    "words": (
        other_words,
        {},
        "given.unlearned.theirs: weights: expected documents in the words of .*u/tokenizer.json",
    ),
    "not finite": (
        with_nan,
        {},
        "given.unlearned.theirs: weights: .*/u: 'model.norm.weight': expected finite",
    ),
    "twice": (
        same_again,
        {},
        "given.retrained_again: expected another model than given.retrained, got the same",
    ),
    "sizes that nobody has said": (
        lambda folder: None,
        {'config_folder = "o"': 'transformers = "llama"'},
        r"given.original: .*expected the sizes .*; config_folder = \".*o\" in its table",
    ),
    "a folder of Lethe's": (
        write_own,
        {**OWN, '= "u"': '= "u"'},
        "given.unlearned.theirs: weights: .*/u is a folder; expected the path of FILE.safetensors in it",
    ),
    "no folder": (
        lambda folder: None,
        {'= "u"': '= "v"'},
        "given.unlearned.theirs: weights: no file .*/v; nothing",
    ),
    "no table": (
        lambda folder: None,
        {"[architectures.mine]\n": "[architectures.other]\n"},
        'axes.architecture: .mine. is for images, .* or config_folder = "FOLDER" of one of the models of',
    ),
    "weights beside sizes": (
        lambda folder: None,
        {'config_folder = "o"': 'config_folder = "o"\nweights = "o"'},
        "architectures.mine: config_folder: expected none beside weights",
    ),
    "a base to train": (
        public,
        {
            "[given]": "[pretraining]\nepochs = 1\n[given]",
            "longest =": 'public_path = "public.jsonl", longest =',
        },
        r"pretraining: expected none with \[given\], whose models began elsewhere",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_line(case: str, folder: Path) -> None:
    act, replaced, told = REFUSED[case]
    act(folder)
    with pytest.raises(AuditError, match=told) as caught:
        plan(folder, **replaced)
    assert "\n" not in str(caught.value)
