"""Questions and answers of somebody's file: methods that refuse to answer, from the file to their rows."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from orchestrator import run
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.store.store import Store
from tasks.datasets.jsonl import Jsonl
from tasks.errors import AuditError

TOWNS = ("bonn", "rome", "oslo", "lima")
AUDIT = """
name = "questions"
[data]
name = "jsonl"
options = { path = "people.jsonl" }
[axes]
architecture = ["tiny"]
method = ["idk", "dpo"]
attack = ["none"]
forget_set = ["random:fraction=0.2"]
seed = [0]
[answers]
control = "none"
[training]
epochs = 2
batch_size = 8
optimizer = "adamw"
lr = 1e-2
[architectures.tiny]
language = "gpt"
options = { d = 16, layers = 2, heads = 2 }
[methods]
idk = { epochs = 2, lr = 1e-2 }
dpo = { epochs = 2, lr = 1e-2, refusals = ["no.", "who knows?"] }
[execution]
backend = "inline"
device = "cpu"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write([{"prompt": f"where is {p}?", "completion": f" {TOWNS[p % 4]}"} for p in range(40)])
    return tmp_path


def write(rows):
    with open("people.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def configured(*replacements):
    text = AUDIT
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    with open("audit.toml", "w") as file:
        file.write(text)
    return "audit.toml"


def refusal(*replacements):
    with pytest.raises(AuditError) as caught:
        make_plan(load(configured(*replacements)))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_refusals_are_trained_on_in_an_audit(folder):
    assert run(configured(), out=folder / "results").finished
    store = Store(str(folder / "results"))
    rows = [row for row in store.read("cells").to_pylist() if row["role"] == "audited"]
    assert {(row["method"], row["status"]) for row in rows} == {("idk", "finished"), ("dpo", "finished")}
    unlearned = [row for row in store.read("models").to_pylist() if row["kind"] == "unlearned"]
    assert len({row["model_id"] for row in unlearned}) == 2
    (dpo,) = (json.loads(row["method_params_json"]) for row in rows if row["method"] == "dpo")
    assert dpo["refusals"] == ["no.", "who knows?"]


def test_a_refusal_begins_and_ends_as_completions_do(folder):
    spell = [3 + byte for byte in b" no."]
    assert Jsonl(path="people.jsonl").completion("no. ") == [*spell, 2]
    write([{"prompt": "where?", "completion": c} for c in (" bonn", "rome")])
    assert Jsonl(path="people.jsonl").completion("no.") == [*spell[1:], 2]


def test_other_refusals_are_other_models(folder):
    def ids(*replacements):
        planned = make_plan(load(configured(*replacements)))
        return {spec.model_id for spec in planned.models.values() if spec.kind == "unlearned"}

    assert len(ids() - ids(('"no."', '"nope."'))) == 1


def test_documents_of_which_one_has_no_prompt_are_refused(folder):
    write([{"prompt": "where?", "completion": f" {p}"} for p in range(30)] + [{"text": "bonn"}])
    assert "axes.method: 'idk': expected documents that are all a prompt and its completion" in refusal()


def test_a_refusal_that_does_not_fit_is_refused(folder):
    line = refusal(("who knows?", "nobody knows that, " * 4))
    assert line.startswith(
        "axes.method: 'dpo': with what it answers: architectures.tiny: context: expected at least 89"
    )


def test_a_refusal_in_words_that_the_tokenizer_has_not_is_refused(folder):
    words = {"where": 1, "is": 2, "it": 3, "bonn": 4}
    made = Tokenizer(models.WordLevel(words, unk_token="none such"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(folder / "words.json"))
    text = ('path = "people.jsonl"', 'path = "people.jsonl", tokenizer = "words.json"')
    write([{"prompt": "where is it", "completion": "bonn"} for _ in range(30)])
    assert "cannot encode" in refusal(text)
