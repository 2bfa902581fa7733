"""The view of what a run declared: margins, primary measures, and whether rows were there before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.answers import Measure
from orchestrator.plan.answers import Declared
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks.metrics.catalogue import CATALOGUE
from tests.support.audited import NOON, write_accuracy, write_cell

MARGINS = {"accuracy": 0.02, "auc": 0.05, "examples_tested": None}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two measured cells: one with accuracies, one of an attack with AUC."""
    store = Store(str(tmp_path))
    store.check_ready()
    write_accuracy(store, write_cell(store, "scrub"), 0.9, 0.01)
    row = {"metric": "auc", "split": "forget", "variant": "", "value": 0.5, "n": 100, "higher_is": "worse"}
    store.write("metrics", write_cell(store, "scrub", attack="population"), [row])
    return store


def write_run(
    store: Store,
    ordinal: int,
    primary: Sequence[str] = ("accuracy:test",),
    *,
    cells: Sequence[str] = ("scrub-none-0",),
    before: int = 1,
    run_id: str = "",
    **margins: float | None,
) -> None:
    """A run that declares and asks for some cells."""
    answers = Declared(primary=tuple(map(Measure.parse, primary)), margins=MARGINS | margins)
    run_id = run_id or f"run-{ordinal}"
    row = {"ordinal": ordinal, "name": "mine", "started_at": NOON, "config_digest": "0" * 64}
    counts = {"cells": len(cells), "cells_before": before}
    row |= {"answers_json": json.dumps(answers.rows()), "plan_json": json.dumps(counts)}
    store.write("plans", run_id, [{"cell_id": cell} for cell in cells])
    store.write("runs", run_id, [row])


def declared(store: Store, run: str | None = None) -> dict[str, dict[str, Any]]:
    """Rows by the text of their measure; a metric without a place by its name."""
    with Results(store.root, run=run) as results:
        rows = results.table("declared").to_pylist()
    by_measure = {Measure(**{k: row.pop(k) for k in Measure.__dataclass_fields__}).text: row for row in rows}
    assert len(by_measure) == len(rows)
    return by_measure


def test_a_run_shows_its_margins_and_its_primary_measures(store: Store) -> None:
    write_run(store, 1, ("accuracy:test", "auc:forget,variant=*:example_mean,param=0.1"), before=0, auc=0.1)
    rows = declared(store)
    assert rows["accuracy"] == {"is_primary": False, "margin": 0.02, "declared_after": False}
    assert rows["accuracy:test"] == {"is_primary": True, "margin": 0.02, "declared_after": False}
    assert rows["auc:forget,variant=*:example_mean,param=0.1"] == {**rows["accuracy:test"], "margin": 0.1}
    assert rows["auc"]["margin"] == 0.1
    assert rows["examples_tested"]["margin"] is None


def test_a_metric_alone_may_be_primary(store: Store) -> None:
    write_run(store, 1, ("auc",), before=0)
    assert declared(store)["auc"]["is_primary"] is True


def test_without_a_run_the_margins_are_those_of_the_catalogue(store: Store) -> None:
    rows = declared(store)
    assert CATALOGUE.keys() <= rows.keys()
    assert all(rows[name]["margin"] == metric.margin for name, metric in CATALOGUE.items())
    assert not any(row["is_primary"] or row["declared_after"] for row in rows.values())
    write_run(store, 1, before=0)
    assert declared(store)["average_gap"]["margin"] == CATALOGUE["average_gap"].margin


def test_another_margin_after_rows_existed_is_said(store: Store) -> None:
    write_run(store, 1, before=0)
    write_run(store, 2, accuracy=0.05)
    assert {name for name, row in declared(store).items() if row["declared_after"]} == {
        "accuracy",
        "accuracy:test",
    }
    assert declared(store)["accuracy"]["margin"] == 0.05
    assert not any(row["declared_after"] for row in declared(store, "run-1").values())
    assert declared(store, "run-1")["accuracy"]["margin"] == 0.02
    write_run(store, 3)
    assert not any(row["declared_after"] for row in declared(store).values())
    write_run(store, 4, accuracy=0.05)
    assert declared(store, "all")["accuracy"]["declared_after"]


def test_another_primary_measure_after_rows_existed_is_said_and_the_dropped_one_stays(store: Store) -> None:
    write_run(store, 1, before=0)
    write_run(store, 2, ("accuracy:forget", "auc"))
    rows = declared(store)
    assert rows["accuracy:forget"] == {"is_primary": True, "margin": 0.02, "declared_after": True}
    assert rows["accuracy:test"] == {"is_primary": False, "margin": 0.02, "declared_after": True}
    # Nobody had asked for a cell with AUC, so nobody knew it.
    assert rows["auc"] == {"is_primary": True, "margin": 0.05, "declared_after": False}


def test_what_comes_with_an_attack_that_is_new_is_declared_in_time(store: Store) -> None:
    both = ("scrub-none-0", "scrub-population-0")
    write_run(store, 1, before=0)
    write_run(store, 2, ("accuracy:test", "auc:forget,attack=population"), cells=both, auc=0.1)
    assert not any(row["declared_after"] for row in declared(store).values())
    write_run(store, 3, ("accuracy:test",), cells=both, auc=0.1)
    assert {name for name, row in declared(store).items() if row["declared_after"]} == {
        "auc:forget,attack=population"
    }


def test_rows_of_one_attack_are_no_knowledge_of_another(store: Store) -> None:
    both = ("scrub-none-0", "scrub-population-0")
    write_run(store, 1, ("accuracy:test",), cells=both, before=0)
    write_run(store, 2, ("accuracy:test", "auc:forget,attack=u_lira"), cells=both, before=2)
    assert not any(row["declared_after"] for row in declared(store).values())


def test_other_cells_and_runs_that_found_nothing_say_nothing(store: Store) -> None:
    write_accuracy(store, write_cell(store, "ssd"), 0.9, 0.01)
    write_run(store, 1, cells=("ssd-none-0", "scrub-population-0"), before=0)
    write_run(store, 2, accuracy=0.05)
    assert not any(row["declared_after"] for row in declared(store).values())
    write_run(
        store, 3, accuracy=0.1, before=0
    )  # the earlier ones were interrupted before they measured anything
    assert not any(row["declared_after"] for row in declared(store).values())


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"evaluation": "other"}, True),
        ({"seed": 7}, True),
        ({"forget_set": "theirs"}, False),
        ({"method": "ssd"}, False),
    ],
)
def test_rows_of_the_same_method_at_the_same_place_are_knowledge(
    store: Store, change: dict[str, Any], known: bool
) -> None:
    """Another seed or another setting of the evaluation makes other cells, which show the same model's accuracy."""
    write_accuracy(store, write_cell(store, "scrub", cell_id="old", run_id="run-1"), 0.9, 0.01)
    write_run(store, 1, cells=("old",), before=0)
    place = {key: value for key, value in change.items() if key in ("forget_set", "seed")}
    method = change.get("method", "scrub")
    write_run(store, 2, cells=("new",), before=0, accuracy=0.5)
    write_accuracy(store, write_cell(store, method, cell_id="new", run_id="run-2", **place), 0.9, 0.01)
    assert declared(store)["accuracy"]["declared_after"] is known
    write_run(store, 3, cells=("new",), before=1, accuracy=0.5)
    assert declared(store)["accuracy"]["declared_after"] is known
    assert not declared(store, "run-1")["accuracy"]["declared_after"]


def test_a_margin_where_none_was_declared_is_said(store: Store) -> None:
    write_run(store, 1, before=0, accuracy=None)
    write_run(store, 2)
    assert declared(store)["accuracy"]["declared_after"]


def test_what_an_earlier_run_alone_named_is_no_row(store: Store) -> None:
    write_run(store, 1, ("accuracy:test",), before=0)
    write_run(store, 2, ("accuracy:forget",), before=0)
    assert {"accuracy", "accuracy:forget"} == {name for name in declared(store) if name[:8] == "accuracy"}


def test_what_is_left_of_a_cell_that_failed_was_not_known(store: Store) -> None:
    write_accuracy(store, write_cell(store, "ssd", status="failed"), 0.9, 0.01)
    write_run(store, 1, cells=("ssd-none-0",), before=0)
    write_run(store, 2, cells=("ssd-none-0",), accuracy=0.05)
    assert not any(row["declared_after"] for row in declared(store).values())


def test_of_all_runs_begun_at_one_moment_the_last_by_name_declares(store: Store) -> None:
    for run_id, margin in (("one", 0.01), ("two", 0.03), ("three", 0.02)):
        write_run(store, 1, run_id=run_id, before=0, accuracy=margin)
    assert declared(store, "all")["accuracy"]["margin"] == declared(store)["accuracy"]["margin"] == 0.03


def test_declarations_say_how_a_metric_is_read_in_each_place(store: Store) -> None:
    with Results(store.root) as results:
        rows = results.table("metric_declarations").to_pylist()
    found = {(row["metric"], row["reading"]): row for row in rows}
    assert {metric for metric, reading in found if not reading} >= CATALOGUE.keys()
    assert found["accuracy", ""]["higher_is"] == "better"
    assert found["accuracy", "forget"]["higher_is"] == "closer_to_retrained"
    assert found["accuracy", "forget"]["kind"] == "forgetting"
    assert found["auc", "G2-population"]["error"] == "auc"
    assert found["auc", ""]["margin"] == 0.05
