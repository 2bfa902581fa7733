"""Units of work as the audience hears of them: the group that each belongs to, and the event of its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.plan.cells import Cell, ModelSpec
from orchestrator.progress.events import Done, Event, Memory


def model_group(spec: ModelSpec) -> str:
    """Models of one group are expected to take equally long to train."""
    return f"{spec.kind} {spec.architecture}"


def cell_group(cell: Cell) -> str:
    """Cells of one group are expected to take equally long."""
    return f"{cell.architecture} {cell.method} {cell.attack}"


def model_event(spec: ModelSpec, done: Done) -> Event:
    """The event of a model that was made, or could not be."""
    error = "; ".join(done.problems)
    words = (spec.architecture, spec.kind, spec.forget_set or "", f"seed {spec.seed}")
    return Event(
        kind="model",
        name=" ".join(filter(None, words)),
        status="failed" if error else "finished",
        error=error,
        seconds=done.seconds,
        group=model_group(spec),
        memory=done.memory,
    )


def cell_event(cell: Cell, row: Mapping[str, Any], memory: Memory | None) -> Event:
    """The event of a measured or failed cell, from its row in `cells`."""
    failed = row["status"] == "failed"
    return Event(
        kind="cell",
        name=" ".join(f"{v}" for v in cell.axes.values()),
        status="failed" if failed else "finished",
        seconds=float(row.get("seconds") or 0.0),
        error=f"{row.get('error_type')}: {row.get('error')}" if failed else "",
        group=cell_group(cell),
        memory=memory,
    )


def shadow_events(architecture: str, numbers: Sequence[int], done: Done) -> Iterator[Event]:
    """An event for each shadow model of a batch that has ended, and a note for each that failed."""
    for number in numbers:
        yield Event(
            kind="shadow",
            name=f"{architecture} shadow {number}",
            seconds=done.seconds / len(numbers),
            group=architecture,
            memory=done.memory,
        )
    for problem in done.problems:
        yield Event(kind="note", name=f"failed: {problem}")
