"""Which run is meant: by its name, or the one that was begun last, whatever its clock said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.store.runs import (
    EVERY_RUN,
    candidates,
    check_one,
    named_run,
    planned_cells,
    runs,
    selected_run,
)
from orchestrator.store.store import Store
from tasks.errors import AuditError, UnknownName


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three runs; the clock was set back before the last, whose plan is lost."""
    made = Store(str(tmp_path / "results"))
    for ordinal, (run_id, year) in enumerate([("b", 2026), ("c", 2027), ("a", 2025)], start=1):
        row = {"ordinal": ordinal, "name": "tiny", "config_digest": "d"}
        made.write("runs", run_id, [row | {"started_at": datetime(year, 1, 1, tzinfo=UTC)}])
    for run_id, cells in (("b", ["x", "y"]), ("c", ["z"])):
        made.write("plans", run_id, [{"cell_id": cell} for cell in cells])
    return made


def test_the_order_is_that_of_beginning(store: Store) -> None:
    assert [run.run_id for run in runs(store)] == ["b", "c", "a"]
    assert [run.run_id for run in candidates(store, None)] == ["a", "c", "b"]
    assert [run.run_id for run in candidates(store, "c")] == ["c"]


def test_a_name_or_the_last(store: Store, tmp_path: Path) -> None:
    assert named_run(store, "b") == runs(store)[0]
    assert named_run(store, None) == runs(store)[-1]
    assert named_run(Store(str(tmp_path / "none")), None) is None
    with pytest.raises(UnknownName, match=r"--run: no run 'd'"):
        named_run(store, "d")


def test_what_answers_rest_on(store: Store, tmp_path: Path) -> None:
    assert selected_run(store, EVERY_RUN) == EVERY_RUN
    assert selected_run(store, "c") == "c"
    assert selected_run(Store(str(tmp_path / "none")), None) is None
    with pytest.raises(AuditError, match="the plan of the run a is lost"):
        selected_run(store, None)
    with pytest.raises(UnknownName):
        selected_run(store, "d")


def test_what_a_run_asked_for(store: Store) -> None:
    first, _, last = runs(store)
    assert planned_cells(store, first) == {"x", "y"}
    assert planned_cells(store, last) is None


def test_one_run_where_a_page_is_about_one() -> None:
    check_one(None)
    check_one("a")
    with pytest.raises(AuditError, match="expected the id of one run"):
        check_one(EVERY_RUN)
