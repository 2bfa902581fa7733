"""Bad documents, tokenizers and published models: exit code 2 and one line that says what, where and what to do."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import safetensors.torch

from orchestrator.errors import run_command
from orchestrator.store.store import Store
from tests.support.language_sweeps import changed_language
from tests.support.published_models import saved
from tests.support.tokenizer_files import write_tokenizer

PLAN, RUN = "sweep audit.toml --dry-run", "sweep audit.toml"
PEOPLE = 'name = "fictitious_people"\noptions = { num_train = 20, num_test = 10, num_public = 30 }'
BASE = '[pretraining]\nepochs = 1\noptimizer = "adamw"\nlr = 3e-3\n'
MODEL = 'language = "gpt"\noptions = { d = 16, layers = 2, heads = 2 }'
GOOD = [{"text": f"person {p} likes tea", "id": f"d{p}", "group": f"p{p}"} for p in range(12)]
FILES: dict[str, list[dict] | bytes] = {
    "good": GOOD,
    "empty": [*GOOD, {"text": "  ", "id": "x", "group": "p0"}],
    "twice": [*GOOD, {"text": "again", "id": "d3", "group": "p3"}],
    "some_groups": [*GOOD, {"text": "nobody's", "id": "x"}],
    "no_completion": [*GOOD, {"prompt": "Who?", "id": "x", "group": "p0"}],
    "latin": b'{"text": "caf\xe9"}\n',
    "no_object": b"[1]\n",
    "nothing": b"\n",
    "long": [*GOOD, {"text": "tea " * 30, "id": "x", "group": "p0"}],
}


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A bad input: the words of a command, changes of the small sweep of language models, and what the line says."""

    told: tuple[str, ...]
    changes: dict[str, str] = field(default_factory=dict)
    command: str = PLAN


def data(options: str, *told: str, base: str = "", **changes: str) -> Bad:
    """The small sweep on a file of ours, with no base but the one given."""
    where = f'name = "jsonl"\noptions = {{ {options} }}'
    return Bad(told=told, changes={PEOPLE: where, BASE: base, **changes})


def file(name: str, *told: str, more: str = "") -> Bad:
    return data(f'path = "{name}.jsonl"{more}', *told)


def model(
    text: str, *told: str, command: str = PLAN, options: str = 'tokenizer = "words"', **changes: str
) -> Bad:
    """Good documents, and another model."""
    bad = data(f'path = "good.jsonl", {options}', *told, **{MODEL: text}, **changes)
    return Bad(told=told, changes=bad.changes, command=command)


DOCUMENTS = {
    "an empty document": file("empty", "empty.jsonl: line 13: 'text': expected text, got an empty document"),
    "an id twice": file(
        "twice", "twice.jsonl: line 13: id 'd3' is taken by twice.jsonl: line 4; expected each once"
    ),
    "some groups": file("some_groups", "line 13: expected 'group', as", "some_groups.jsonl: line 1 has one"),
    "no completion": file("no_completion", "line 13: 'prompt' without 'completion': expected both"),
    "not UTF-8": file(
        "latin", "latin.jsonl: line 1: expected UTF-8, got byte 0xe9", "save the file as UTF-8"
    ),
    "no object": file("no_object", "no_object.jsonl: line 1: expected a JSON object, got list"),
    "an empty file": file("nothing", "expected documents, got an empty file"),
    "no file": file("missing", "path: no file missing.jsonl"),
    "other fields": data(
        'path = "good.jsonl", text_field = "body"', "line 1: expected 'body', or 'prompt' and 'completion'"
    ),
    "longer than the context": file(
        "long", "architectures.tiny_gpt.options: context: expected at least 121", "got 64"
    ),
    "longer than longest": file(
        "long", "long.jsonl: line 13: expected at most longest = 40 tokens", "got 122", more=", longest = 40"
    ),
    "public documents that are audited": data(
        'path = "good.jsonl", public_path = "good.jsonl"', "line 1: this document is also good.jsonl: line 1"
    ),
    "an unknown group": data(
        'path = "good.jsonl"',
        "forget_sets.persons: name: expected one of the 12 groups of the data set, got 'p33'. Did you mean 'p3'?",
        **{'kind = "groups"\nfraction = 0.2': 'kind = "group"\nname = "p33"'},
    ),
    "no base to train": data(
        'path = "good.jsonl"', "pretraining: expected a data set with a public part", base=BASE
    ),
    "too many people": Bad(
        told=("data.options: num_public, num_train, num_test: expected at most", "persons"),
        changes={"num_public = 30": "num_public = 300000"},
    ),
    "nobody to train on": Bad(
        told=("data.options: num_train: expected at least 1, got 0",),
        changes={"num_train = 20": "num_train = 0"},
    ),
}
TOKENIZERS = {
    "no tokenizer": file("good", "tokenizer: no file nowhere; expected", more=', tokenizer = "nowhere"'),
    "damaged": file("good", "broken.json: expected a tokenizer.json", more=', tokenizer = "broken.json"'),
    "without a vocabulary": file("good", "no_words.json: expected a", more=', tokenizer = "no_words.json"'),
    "a mark that it lacks": file(
        "good", "data.options: begin: no token '<bos>'", more=', tokenizer = "words", begin = "<bos>"'
    ),
    "a mark of bytes": file("good", "begin: expected none", more=', begin = "<s>"'),
    "not the model's own": model(
        'weights = "llama"',
        "architectures.tiny_gpt: weights: expected documents in the words of",
        options='tokenizer = "bytes"',
    ),
}
MODELS = {
    "an unknown family": model(
        'transformers = "lama"', "no family of transformers 'lama'. Did you mean 'llama'?"
    ),
    "an unknown option": model(
        'transformers = "gpt2"\noptions = { n_embed = 32 }',
        "no option of gpt2 'n_embed'. Did you mean 'n_embd'?",
    ),
    "no folder": model('weights = "nowhere"', "weights: no folder nowhere; nothing is downloaded"),
    "a pickle": model('weights = "pickled"', "pytorch_model.bin is a pickle, which may run code"),
    "adapters": model('weights = "adapters"', "adapters holds adapters; expected whole weights"),
    "a shard too few": model('weights = "few"', "no file", "shards"),
    "a missing weight": model('weights = "missing"', "'model.norm.weight' is missing", command=RUN),
    "a weight too many": model('weights = "extra"', "'more' is not part of this architecture", command=RUN),
    "a weight of another shape": model(
        'weights = "shapes"', "'model.norm.weight' is of another shape", command=RUN
    ),
    "a head that is the embedding": model(
        'transformers = "gpt2"\noptions = { n_embd = 32, n_layer = 2, n_head = 2, n_positions = 48 }',
        "head",
        "early",
        command=RUN,
        **{'scope = ["all", "last-1"]': 'scope = ["head"]', ', "reference"]': "]"},
    ),
}
PRESETS = {
    "an unknown preset": Bad(command="sweep langauge --dry-run", told=("Did you mean 'language'?",)),
    "an unknown option": Bad(
        command="sweep language --set data.options.num_persons=3 --dry-run",
        told=("data.options", "'num_persons'"),
    ),
    "a bad option": Bad(
        command="sweep language --set training.lr=-1 --dry-run",
        told=("training", "lr: expected a positive number"),
    ),
    "images in a preset of documents": Bad(
        command="sweep language --set data.name=digits --dry-run", told=("data.options",)
    ),
}
EVERY = {**DOCUMENTS, **TOKENIZERS, **MODELS, **{f"preset: {name}": bad for name, bad in PRESETS.items()}}


def change(folder: Path, edit) -> None:
    """Rewrite the weights of a folder."""
    state = safetensors.torch.load_file(folder / "model.safetensors")
    edit(state)
    safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A directory of bad files."""
    shelf = tmp_path_factory.mktemp("shelf")
    for name, held in FILES.items():
        lines = held if isinstance(held, bytes) else "".join(json.dumps(row) + "\n" for row in held).encode()
        (shelf / f"{name}.jsonl").write_bytes(lines)
    write_tokenizer(shelf / "words")
    (shelf / "broken.json").write_text('{"version": "1.0"')
    (shelf / "no_words.json").write_text('{"version": "1.0", "model": {"type": "WordLevel"}}')
    for name in ("llama", "missing", "extra", "shapes", "few", "pickled", "adapters"):
        write_tokenizer(shelf / name)
        saved("llama", shelf / name, words=290, shards=name == "few")
    change(shelf / "missing", lambda state: state.pop("model.norm.weight"))
    change(shelf / "extra", lambda state: state.update(more=state["model.norm.weight"].clone()))
    change(
        shelf / "shapes",
        lambda state: state.update({"model.norm.weight": state["model.norm.weight"][:5].clone()}),
    )
    next((shelf / "few").glob("model-*.safetensors")).unlink()
    (shelf / "pickled" / "model.safetensors").rename(shelf / "pickled" / "pytorch_model.bin")
    (shelf / "adapters" / "adapter_config.json").write_text("{}")
    return shelf


def answer(case: Bad) -> int:
    """Run the command in this process, as its `__main__` does."""
    Path("audit.toml").write_text(changed_language(case.changes))
    name, *words = shlex.split(case.command)
    return run_command(lambda: importlib.import_module(f"orchestrator.{name}").main(words))


def inside(shelf: Path, folder: Path) -> None:
    """Make the files of the shelf those of another folder, by name."""
    for path in shelf.iterdir():
        (folder / path.name).symlink_to(path)


@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY)
def test_a_bad_input_is_one_line_to_act_on(case, shelf, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    inside(shelf, tmp_path)
    assert answer(case) == 2
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    for piece in case.told:
        assert piece in line, line
    assert not (tmp_path / "results" / "cells").exists()


def test_without_transformers_a_plan_is_one_line(shelf, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    inside(shelf, tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert answer(model('weights = "llama"')) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "expected the package transformers, which is not installed; pip install 'lethe[language]'" in line


def test_a_training_that_diverges_is_a_failed_row(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = {
        '[training]\nepochs = 4\nbatch_size = 16\noptimizer = "adamw"\nlr = 3e-3': "[training]\nlr = 1e30"
    }
    alone = {
        'attack = ["none", "population", "extraction", "sampling"]': 'attack = ["none"]',
        '"npo"]': '"no_op"]',
    }
    assert answer(Bad(told=(), changes={**words, **alone}, command=RUN)) == 1
    cells = Store("results").read("cells").to_pylist()
    assert cells
    assert {row["status"] for row in cells} == {"failed"}
    assert all("non-finite loss or weight in epoch" in row["error"] for row in cells)
