"""How far a sweep is, running, finished or killed: from its files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import starmap
from typing import Any

from orchestrator.progress.duration import duration
from orchestrator.store.files import MARKER
from orchestrator.store.json_columns import json_column
from orchestrator.store.purges import purge_line
from orchestrator.store.runs import Run, named_run, planned_cells
from orchestrator.store.stages import Made, made
from orchestrator.store.store import Store
from tasks.errors import AuditError

AHEAD_SECONDS = 5.0
"""So far clocks of machines may be apart before it is said."""
AXES = ("architecture", "method", "scope", "attack", "forget_set", "seed")
QUIET_FACTOR = 10.0
"""A sweep whose last file is older than that many mean gaps between files has probably stopped."""
QUIET_SECONDS = 120.0
"""Never called quiet sooner than this."""
RECENT = 50
"""Cells behind the rate, so that the estimate follows what runs now."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the files say at one moment."""

    run_id: str | None
    started_at: datetime | None
    planned: int | None
    """Cells that the run asked for; None where no run is recorded."""
    finished: int
    failed: int
    models: dict[str, Made]
    """By kind, in the order in which they are made."""
    by_axis: dict[str, dict[str, tuple[int, int]]]
    """Axis, value: cells finished and failed."""
    errors: tuple[tuple[str, int], ...]
    last_activity: datetime | None
    seconds_per_cell: float | None
    """Mean gap between the latest cells of this run."""
    now: datetime
    purged: str = ""
    """A line on what was deleted since (`orchestrator.purge`)."""

    @property
    def left(self) -> int | None:
        """Planned cells without a row."""
        return None if self.planned is None else max(self.planned - self.finished - self.failed, 0)

    @property
    def remaining(self) -> timedelta | None:
        """Time until the last cell at the present rate."""
        if self.left is None or self.seconds_per_cell is None:
            return None
        return timedelta(seconds=self.left * self.seconds_per_cell)

    @property
    def quiet(self) -> bool:
        """Whether nothing was written for so long that the sweep has probably stopped."""
        if self.last_activity is None:
            return False
        patience = max(QUIET_SECONDS, QUIET_FACTOR * (self.seconds_per_cell or 0.0))
        return (self.now - self.last_activity).total_seconds() > patience

    @property
    def ahead(self) -> float:
        """Seconds by which the last file is younger than now, which two clocks that agree do not show; 0 if not."""
        if self.last_activity is None:
            return 0.0
        seconds = (self.last_activity - self.now).total_seconds()
        return seconds if seconds > AHEAD_SECONDS else 0.0

    @property
    def state(self) -> str:
        """In one word or two."""
        if self.planned is None:
            return "no run recorded"
        if self.left == 0:
            return "done with failures" if self.failed else "done"
        if self.ahead:
            return "running or stopped"
        return "stopped" if self.quiet else "running"


def read_status(store: Store, *, now: datetime, run_id: str | None = None) -> Status:
    """Read runs, cells and models.

    Args:
        store: the results.
        now: the moment to compare times with.
        run_id: the run that is looked at; None: the latest.

    Raises:
        UnknownName: there is no such run.
    """
    run = named_run(store, run_id)
    columns = ["cell_id", "run_id", "status", "error_type", "error", "finished_at", *AXES]
    cells = store.read("cells").select(columns).to_pylist()
    planned, ids = _planned(store, run)
    if ids is not None:
        cells = [c for c in cells if c["cell_id"] in ids]
    failed = [c for c in cells if c["status"] == "failed"]
    models = store.read("models")["finished_at"].to_pylist()
    times = [time for time in (*(c["finished_at"] for c in cells), *models) if time]
    started = run.row["started_at"] if run else None
    return Status(
        run_id=run.run_id if run else None,
        started_at=started,
        planned=planned,
        finished=len(cells) - len(failed),
        failed=len(failed),
        models=made(run, store),
        by_axis=_by_axis(cells),
        errors=tuple(Counter(f"{c['error_type']}: {c['error']}" for c in failed).most_common(5)),
        last_activity=max(times, default=started),
        seconds_per_cell=_pace([c["finished_at"] for c in cells if run and c["run_id"] == run.run_id]),
        now=now,
        purged=purge_line(store),
    )


def look(store: Store, run_id: str | None, *, now: datetime, seen: bool) -> Status:
    """The status of results that are watched.

    Args:
        store: the results.
        run_id: the run that is looked at; None: the latest.
        now: the moment to compare times with.
        seen: whether they were there before.

    Raises:
        AuditError: they were seen and are gone, or cannot be read.
    """
    try:
        if not seen or store.files.exists(MARKER):
            return read_status(store, now=now, run_id=run_id)
    except FileNotFoundError:
        if store.files.exists(MARKER):
            raise
    except OSError as error:
        raise AuditError(f"results: cannot read {error.filename or store.root}: {error.strerror}") from error
    raise AuditError(f"results: {store.root} was moved or deleted while it was watched")


def _planned(store: Store, run: Run | None) -> tuple[int | None, set[str] | None]:
    """How many cells a run asked for, and their ids; None where its plan is lost."""
    if run is None:
        return None, None
    ids = planned_cells(store, run)
    return json_column(run.row["plan_json"], dict, where="runs.plan_json").get(
        "cells"
    ) if ids is None else len(ids), ids


def _pace(times: Sequence[datetime | None]) -> float | None:
    """Mean seconds between the latest cells; None before the second one."""
    known = sorted(t for t in times if t is not None)[-RECENT:]
    if len(known) < 2:
        return None
    return (known[-1] - known[0]).total_seconds() / (len(known) - 1)


def _by_axis(cells: list[dict[str, Any]]) -> dict[str, dict[str, tuple[int, int]]]:
    shown: dict[str, dict[str, tuple[int, int]]] = {}
    for axis in AXES:
        counts: dict[str, tuple[int, int]] = {}
        for cell in cells:
            value, failed = str(cell[axis]), cell["status"] == "failed"
            finished, broken = counts.get(value, (0, 0))
            counts[value] = (finished + (not failed), broken + failed)
        shown[axis] = dict(sorted(counts.items()))
    return shown


def as_json(status: Status) -> dict[str, Any]:
    """The status as plain values."""
    return {
        "state": status.state,
        "run_id": status.run_id,
        "started_at": status.started_at.isoformat() if status.started_at else None,
        "planned": status.planned,
        "finished": status.finished,
        "failed": status.failed,
        "left": status.left,
        "models": {kind: counts._asdict() for kind, counts in status.models.items()},
        "by_axis": {
            axis: {v: {"finished": done, "failed": bad} for v, (done, bad) in values.items()}
            for axis, values in status.by_axis.items()
        },
        "errors": [{"error": error, "times": times} for error, times in status.errors],
        "last_activity": status.last_activity.isoformat() if status.last_activity else None,
        "seconds_per_cell": status.seconds_per_cell,
        "purged": status.purged,
        "seconds_left": status.remaining.total_seconds() if status.remaining is not None else None,
    }


def lines(status: Status) -> list[str]:
    """The status as lines of text."""
    if status.run_id is None:
        shown = ["no run is recorded here: no sweep has started, or its plan is not written yet"]
    else:
        shown = [f"{status.run_id}: {status.state}"]
    planned = "?" if status.planned is None else str(status.planned)
    failed = f", {status.failed} failed" if status.failed else ""
    shown.append(f"{'cells':<13} {status.finished + status.failed} of {planned} done{failed}")
    shown.append(f"{'models':<13} {', '.join(starmap(_told, status.models.items())) or 'none'} made")
    if status.last_activity is not None:
        at = f"{status.last_activity:%Y-%m-%d %H:%M:%S} UTC"
        ago = duration(max((status.now - status.last_activity).total_seconds(), 0.0))
        ahead = f"{duration(status.ahead)} ahead of this machine's clock: one of the two clocks is wrong"
        shown.append(f"{'activity':<13} last file {ahead if status.ahead else f'{ago} ago'} ({at})")
    shown += _outlook(status)
    for axis, values in status.by_axis.items():
        counts = ", ".join(
            f"{v}: {done}{f' (+{bad} failed)' if bad else ''}" for v, (done, bad) in values.items()
        )
        if counts:
            shown.append(f"{axis:<13} {counts}")
    shown += [f"{'purged':<13} {status.purged.removeprefix('purged ')}"] if status.purged else []
    shown += [f"{'failed':<13} {times} x {error}" for error, times in status.errors]
    return shown


def _told(kind: str, counts: Made) -> str:
    """How many models of a kind there are, of how many."""
    planned = "" if counts.planned is None else f" of {counts.planned}"
    failed = f" ({counts.failed} failed)" if counts.failed else ""
    return f"{counts.done}{planned} {kind}{failed}"


def _outlook(status: Status) -> list[str]:
    if status.state == "running" and status.remaining is not None:
        at = status.now + status.remaining
        rate = (
            f"{60 / status.seconds_per_cell:.3g} cells a minute" if status.seconds_per_cell else "no rate yet"
        )
        left = duration(status.remaining.total_seconds())
        return [f"{'rate':<13} {rate}, about {left} left (until {at:%Y-%m-%d %H:%M} UTC)"]
    if status.state == "running":
        return [f"{'rate':<13} unknown until two cells have finished"]
    if status.state == "stopped":
        return [
            f"{'to do':<13} {status.left} cells are missing, nothing is written: the same sweep command goes on"
        ]
    if status.state == "running or stopped":
        return [f"{'to do':<13} {status.left} cells are missing; look again whether more are done"]
    return []
