"""The table of methods: what each says of itself beside what was measured; combinations refused by name."""

from __future__ import annotations

import dataclasses
import json

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.plan.names import build_method
from orchestrator.plan.points import ROLES
from orchestrator.plan.search_space import points, search_ranges
from orchestrator.results.connection import Results
from orchestrator.results.known_methods import known_methods
from tasks.errors import AuditError
from tasks.unlearn.base import methods
from tasks.unlearn.program import PROGRAM
from tests.support import synthetic_results as synthetic


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = str(tmp_path_factory.mktemp("full"))
    synthetic.fill(root)
    return Results(root)


def test_every_registered_method_is_known() -> None:
    rows = known_methods().to_pylist()
    assert [row["method"] for row in rows] == methods.names()
    for row in rows:
        assert row["summary"]
        assert row["paper"] or row["method"] in {*ROLES, PROGRAM}
        fields = {f.name for f in dataclasses.fields(methods.get(row["method"]))}
        assert set(filter(None, row["searched"].split(", "))) <= fields


def test_measured_values_stand_beside_what_the_method_says(results: Results) -> None:
    rows = results.query("method_table").to_pylist()
    cells = [
        c for c in results.table("cells").to_pylist() if c["attack"] == "none" and c["status"] == "finished"
    ]
    assert {row["method"] for row in rows} == {cell["method"] for cell in cells}
    (scrub,) = [r for r in rows if r["method"] == "scrub" and r["forget_set"] == synthetic.FORGET_SETS[0]]
    assert scrub["needs"] == "retain"
    assert scrub["passes"] == "E*nr + max_epochs*nf"
    mine = {
        c["cell_id"] for c in cells if (c["method"], c["forget_set"]) == ("scrub", synthetic.FORGET_SETS[0])
    }
    values = [
        m["value"]
        for m in results.table("metrics").to_pylist()
        if m["cell_id"] in mine and (m["metric"], m["split"], m["label"]) == ("accuracy", "forget", None)
    ]
    assert scrub["forget_accuracy"] == pytest.approx(sum(values) / len(values), abs=5e-4)


def test_the_methods_preset_holds_every_method() -> None:
    plan = make_plan(load("methods"))
    audited = {cell.method for cell in plan.cells if cell.role == "audited"}
    of_images = {name for name in methods.names() if methods.get(name).objectives in (set(), {"classify"})}
    assert audited == of_images - {*ROLES, PROGRAM}
    of_documents = {name for name in methods.names() if methods.get(name).objectives == {"language"}}
    assert set(methods.names()) - of_images == of_documents
    assert len({cell.architecture for cell in plan.cells}) == 2
    assert {cell.seed for cell in plan.cells} == {0, 1, 2}


def test_a_method_that_cannot_forget_a_set_is_refused_while_planning() -> None:
    with pytest.raises(
        AuditError, match=r"unsir with forget set random: expected a retained class .* \[\[exclude\]\]"
    ):
        make_plan(load("quick", {"axes.method": ["unsir"]}))
    make_plan(load("quick", {"axes.method": ["unsir"], "axes.forget_set": ["half_of_class_3"]}))


def test_a_table_sets_the_base_method_of_a_sequence() -> None:
    """A field named `base` would be taken for the base of a variant."""
    changes = {"axes.method": ["rum"], "methods.rum": {"base_method": "scrub", "groups": 2}}
    plan = make_plan(load("quick", changes))
    assert "rum" in {cell.method for cell in plan.cells}
    plain = make_plan(load("quick", {"axes.method": ["rum"]}))
    assert json.dumps(sorted(plan.models)) != json.dumps(sorted(plain.models))


def test_no_value_of_the_methods_preset_was_picked_by_hand() -> None:
    """Each is one of the 12 trials that its comment speaks of; all else is the default, at batch size 64."""
    preset = load("methods", {"tuning.trials": 12})
    bases = {"rsu": {"base_params": {"batch_size": 64}}, "rum": {"base_params": {"batch_size": 64}}}
    sized = {name: {"batch_size": 64} for name, table in preset.methods.items() if "batch_size" in table}
    start = dataclasses.replace(preset, methods=bases | sized)
    for name in preset.axes.method:
        tuned, plain = (build_method(config, name) for config in (preset, start))
        chosen, before = vars(tuned.built), vars(plain.built)
        searched = {field: chosen[field] for field in search_ranges(tuned, preset.tuning)}
        assert not searched or searched in points(plain, start.tuning), name
        assert chosen == before | searched, name
    assert preset.methods["rum"]["base_params"] == preset.methods["random_labels"]


@pytest.mark.parametrize("name", ["quick", "ulira"])
def test_the_other_presets_take_the_values_that_were_searched(name):
    preset, searched = load(name), load("methods")
    for method in preset.axes.method:
        assert preset.methods[method] == searched.methods[method], method
