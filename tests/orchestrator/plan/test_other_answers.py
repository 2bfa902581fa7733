"""TOFU's perturbed files in a plan: in the id of cells that read them, of no other; refused where they do not fit."""

import json

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError

AUDIT = """
[data]
name = "tofu"
options = {{ folder = "{folder}", test = "" }}
validation_fraction = 0.2
test_fraction = 0.2
[axes]
architecture = ["tiny"]
method = ["finetune"]
scope = ["all"]
attack = ["none", "truth_ratio"]
forget_set = ["random:fraction=0.5"]
seed = [0]
[training]
epochs = 1
[architectures.tiny]
language = "gpt"
options = {{ d = 8, layers = 1, heads = 2, context = {context} }}
[execution]
device = "cpu"
"""
ROWS = [
    {"question": f"What is {author} in {year}?", "answer": f"A {year}."}
    for author in range(6)
    for year in range(20)
]


def write(folder, paraphrase):
    other = {"paraphrased_answer": paraphrase, "perturbed_answer": ["No.", "B."]}
    for name, more in (("full", {}), ("forget50_perturbed", other)):
        (folder / f"{name}.json").write_text("".join(json.dumps(row | more) + "\n" for row in ROWS))


def plan(folder, context=60):
    (folder / "audit.toml").write_text(AUDIT.format(folder=folder, context=context))
    return make_plan(load(str(folder / "audit.toml")))


def ids(planned, attack):
    return {cell.cell_id for cell in planned.cells if cell.attack == attack}


def test_cells_that_read_other_answers_are_named_by_them(tmp_path):
    write(tmp_path, "It is A.")
    before = plan(tmp_path)
    write(tmp_path, "A it is.")
    after = plan(tmp_path)
    assert ids(before, "none") == ids(after, "none")
    assert set(before.models) == set(after.models)
    assert not ids(before, "truth_ratio") & ids(after, "truth_ratio")


def test_other_answers_must_be_there_and_fit_the_context(tmp_path):
    write(tmp_path, "It is " + 30 * "A")
    assert plan(tmp_path, context=120)
    with pytest.raises(AuditError, match=r"axes.attack: 'truth_ratio': .*context: expected at least"):
        plan(tmp_path, context=60)
    (tmp_path / "forget50_perturbed.json").unlink()
    with pytest.raises(AuditError, match="expected forgotten examples with paraphrased and wrong answers"):
        plan(tmp_path)
