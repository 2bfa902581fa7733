"""The runs of a results directory in the order in which they were begun, and what each asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.store.store import Store
from tasks.errors import AuditError, unknown_name

EVERY_RUN = "all"
"""Stands for all runs, where one may be named."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What orders a row of `runs`: never a clock, which may be set back. Two that begin at once go by their names."""

    ordinal: int
    run_id: str
    row: dict[str, Any]


def runs(store: Store) -> list[Run]:
    """All runs, the first first."""
    rows = store.read("runs").to_pylist()
    found = (Run(ordinal=row["ordinal"], run_id=row["run_id"], row=row) for row in rows)
    return sorted(found, key=lambda run: (run.ordinal, run.run_id))


def candidates(store: Store, run_id: str | None) -> list[Run]:
    """The named run alone; without a name all of them, the one that was begun last first."""
    if run_id is None:
        return runs(store)[::-1]
    found = named_run(store, run_id)
    return [found] if found else []


def named_run(store: Store, run_id: str | None) -> Run | None:
    """The run of a name; without one that which was begun last, None where there is none.

    Raises:
        UnknownName: there is no run of this name.
    """
    found = runs(store)
    if run_id is None:
        return found[-1] if found else None
    by_name = {run.run_id: run for run in found}
    if run_id not in by_name:
        raise unknown_name("run", run_id, by_name, where="--run")
    return by_name[run_id]


def planned_cells(store: Store, run: Run) -> set[str] | None:
    """Ids of the cells that a run asked for; None where its plan is lost."""
    if not store.has("plans", run.run_id):
        return None
    return set(store.read("plans", run.run_id)["cell_id"].to_pylist())


def selected_run(store: Store, run_id: str | None) -> str | None:
    """What answers rest on: `all`, or the id of a run; None where no run is recorded.

    Raises:
        AuditError: there is no such run, or its plan is lost.
    """
    if run_id == EVERY_RUN:
        return EVERY_RUN
    run = named_run(store, run_id)
    if run is not None and not store.has("plans", run.run_id):
        raise AuditError(
            f"results: the plan of the run {run.run_id} is lost: the same sweep writes it again; or ask with --run all"
        )
    return run.run_id if run else None


def check_one(run_id: str | None) -> None:
    """Refuse all runs at once, where a page or a record is about one plan."""
    if run_id == EVERY_RUN:
        raise AuditError("--run: expected the id of one run: this is about one plan; query takes all")
