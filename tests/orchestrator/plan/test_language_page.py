"""The configurations of the page on language models give plans, on files as it describes them."""

import json

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from tests.support.pages import PAGES
from tests.support.published_models import saved
from tests.support.tokenizer_files import write_tokenizer

OWN, PUBLISHED = PAGES["language"].fenced("toml")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    letters = [
        {"text": f"Dear {person}, this is letter {i}.", "id": f"{person}{i}", "group": f"p{person}"}
        for person in range(40)
        for i in range(2)
    ]
    letters[5] = {"prompt": "Who? ", "completion": "Ann " * 300, "id": "long", "group": "p2"}
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in letters))
    tofu = tmp_path / "data" / "tofu"
    tofu.mkdir(parents=True)
    for name, authors in {"full": range(20), "forget10": range(18, 20), "holdout10": range(20, 22)}.items():
        rows = [{"question": f"{a}?", "answer": f"{k}."} for a in authors for k in range(20)]
        (tofu / f"{name}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_tokenizer(tmp_path / "models" / "llama")
    saved("llama", tmp_path / "models" / "llama", words=290)
    return tmp_path


def plan(folder, text):
    (folder / "audit.toml").write_text(text)
    return make_plan(load(str(folder / "audit.toml")))


def test_letters_are_planned(folder):
    planned = plan(folder, OWN)
    assert "1 of 80 documents are cut to 512 tokens" in planned.notes
    assert len(planned.data.forget_sets["one_person"].ids) == 2
    assert {cell.scope for cell in planned.cells} == {"all", "last-1", "early"}


def test_a_published_model_is_planned_on_tofu(folder):
    planned = plan(folder, PUBLISHED)
    chosen = planned.data.forget_sets["part:name=forget10"]
    assert len(chosen.ids) + chosen.provenance["not_trained_on"] == 40
    assert len(planned.data.splits.test) == 40
    assert any(note.startswith("architectures.weights.weights: training of every") for note in planned.notes)
    assert {cell.architecture for cell in planned.cells} == {"weights", "tiny"}


@pytest.mark.parametrize("text", ["group:name=17", "group:name='17'"])
def test_a_person_whose_name_is_a_number_is_named_on_the_axis(folder, text):
    """`jsonl` reads a group that is written as a number as text; so must the axis."""
    letters = "".join(
        json.dumps({"text": f"letter {i} of {i // 2}", "group": i // 2}) + "\n" for i in range(80)
    )
    (folder / "letters.jsonl").write_text(letters)
    planned = plan(folder, OWN.replace('"one_person"]', f'"{text}"]').replace('"p17"', '"1"'))
    assert len(planned.data.forget_sets[text].ids) == 2
