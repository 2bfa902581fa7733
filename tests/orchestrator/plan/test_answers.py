"""What an audit declares: the measures and margins of a plan, that no id knows of them, and the third retraining."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.answers import Measure
from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import NO_SHADOW_CONTROL, make_plan
from orchestrator.plan.points import CONTROL
from tasks.metrics.catalogue import CATALOGUE
from tests.support.shadow_sweeps import TEXT
from tests.support.sweeps import write_config

POPULATION = "auc:forget,game=G2-population,variant=loss_threshold,attack=population"


def plan_of(folder: Path, **changes: Any) -> Plan:
    return make_plan(load(str(write_config(folder)), changes))


def primary(plan: Plan) -> list[str]:
    return [measure.text for measure in plan.answers.primary]


def test_an_audit_that_declares_nothing_has_measures_and_the_margins_of_the_metrics(tmp_path: Path) -> None:
    answers = plan_of(tmp_path).answers
    assert [m.text for m in answers.primary] == [
        "accuracy:forget",
        "accuracy:retain",
        "accuracy:test",
        POPULATION,
    ]
    assert answers.margins == {name: CATALOGUE[name].margin for name in answers.margins}
    assert {"accuracy", "robust_accuracy", "auc", "average_gap"} < answers.margins.keys()
    assert "examples_tested" not in answers.margins


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"axes.attack": ["fgsm"]}, []),
        (
            {"axes.attack": ["population:statistics=logistic_loss;", "none"]},
            ["accuracy:forget", "accuracy:retain"],
        ),
        ({"answers.primary": ["auc"]}, ["auc"]),
    ],
)
def test_measures_that_nothing_reports_are_no_default(
    tmp_path: Path, changes: dict[str, Any], expected: list[str]
) -> None:
    assert primary(plan_of(tmp_path, **changes))[:2] == expected
    assert not [text for text in primary(plan_of(tmp_path, **changes)) if text.startswith("auc:")]


def test_single_examples_count_by_the_first_attack_in_a_game_of_unlearning(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(TEXT)
    attacks = ["lira", "u_lira:game=G3", "u_rmia", "u_lira:game=G1"]
    plan = make_plan(load(str(path), {"axes.attack": attacks}))
    assert primary(plan) == ["auc:forget,game=G2,variant=*:example_mean,attack=u_rmia"]


@pytest.mark.parametrize(
    "text",
    ["auc", "accuracy:test", POPULATION, "robust_accuracy:test,attack=pgd,param=0.05", "ua,param=1e-05"],
)
def test_a_measure_reads_what_it_writes(text: str) -> None:
    assert Measure.parse(text).text == text


def test_no_id_knows_what_is_declared(tmp_path: Path) -> None:
    plain = plan_of(tmp_path)
    other = plan_of(
        tmp_path,
        **{
            "answers.primary": ["accuracy:test"],
            "answers.margins.accuracy": 0.1,
            "answers.training_sd.accuracy": 0.01,
        },
    )
    assert other.answers != plain.answers
    assert [cell.cell_id for cell in other.cells] == [cell.cell_id for cell in plain.cells]
    assert other.models.keys() == plain.models.keys()


def test_a_third_retrained_model_joins_each_forget_set_and_changes_no_other_id(tmp_path: Path) -> None:
    plain = plan_of(tmp_path)
    plan = plan_of(tmp_path, **{"answers.control": "models"})
    added = {cell.cell_id for cell in plan.cells} - {cell.cell_id for cell in plain.cells}
    assert {cell.cell_id for cell in plain.cells} < {cell.cell_id for cell in plan.cells}
    assert {(c.method, c.role, c.attack) for c in plan.cells if c.cell_id in added} == {
        (CONTROL, "control", attack) for attack in plan.config.axes.attack
    }
    retrained = [m for m in plan.models.values() if m.kind == "retrained"]
    assert sorted(m.replicate for m in retrained) == [0, 1, 2]
    assert len(plan.models) == len(plain.models) + 1
    assert {c.reference.id for c in plan.cells} == {c.reference.id for c in plain.cells}


@pytest.mark.parametrize(("control", "groups", "told"), [("none", 0, 0), ("models", 0, 1), ("all", 1, 0)])
def test_shadow_models_are_retrained_once_more_where_all_is_asked_for(
    tmp_path: Path, control: str, groups: int, told: int
) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(TEXT)
    attacks = {"axes.attack": ["none", "lira", "u_lira"]}
    plan, plain = (
        make_plan(load(str(path), {**attacks, "answers.control": asked})) for asked in (control, "none")
    )
    added = [plan.shadow_groups[key] for key in plan.shadow_groups.keys() - plain.shadow_groups.keys()]
    assert [(group.method, group.replicate, group.from_scratch) for group in added] == [
        (CONTROL, 2, True)
    ] * groups
    assert plain.shadow_groups.keys() <= plan.shadow_groups.keys()
    judged = [cell for cell in plan.cells if cell.role == "control"]
    assert len(judged) == {"none": 0, "models": 1, "all": 2}[control]
    assert plan.notes.count(NO_SHADOW_CONTROL) == told
    for cell in judged:
        assert cell.subject.id != cell.reference.id


def test_an_exclusion_without_method_or_scope_takes_the_references_too(tmp_path: Path) -> None:
    rules = [{"attack": "fgsm", "architecture": "net"}, {"attack": "population", "method": "finetune"}]
    found = {(c.attack, c.method) for c in plan_of(tmp_path, exclude=rules).cells}
    assert not [method for attack, method in found if attack == "fgsm"]
    assert ("population", "retrain") in found
    assert ("population", "finetune") not in found
