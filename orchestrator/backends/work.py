"""The three ways to run one plan. All go through the same workbench and give the same rows."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.plan.cells import Cell, ModelSpec, Plan, ShadowSubject
from orchestrator.progress.events import Done, Event, Listener, Memory
from orchestrator.records.observations import missing_groups
from orchestrator.store.store import Store
from tasks.errors import AuditError

if TYPE_CHECKING:
    from orchestrator.bench.workbench import Workbench


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is missing of a plan, and where results go."""

    plan: Plan
    store: Store
    run_id: str
    models: Sequence[ModelSpec]
    """Models to train from scratch before any cell, in order."""
    cells: Sequence[Cell]
    """Cells to measure, in order."""
    listener: Listener
    stop: threading.Event
    """Set by the first Ctrl-C: finish what runs, start nothing new."""


class Backend(Protocol):
    """Runs work to its end, or until `work.stop` is set."""

    def run(self, work: Work) -> None:
        """Compute every missing model and cell; a failure of one never ends the others."""
        ...


class InlineBackend:
    """This process, no Ray: debugging, or a machine without Ray."""

    def run(self, work: Work) -> None:
        """See `Backend.run`."""
        from orchestrator.bench.workbench import Workbench

        bench = Workbench(work.plan, work.store)
        bench.check()
        work.listener(Event(kind="phase", name="training", total=len(work.models)))
        for spec in work.models:
            if work.stop.is_set():
                return
            started = time.perf_counter()
            problem = bench.make_model(spec.model_id)
            work.listener(model_event(spec, bench.done([problem], since=started)))
        if needs_shadows(work):
            self._shadows(work, bench)
        work.listener(Event(kind="phase", name="cells", total=len(work.cells)))
        for cell in work.cells:
            if work.stop.is_set():
                return
            row = bench.run_cell(cell.cell_id, run_id=work.run_id)
            work.listener(cell_event(cell, row, bench.memory()))

    def _shadows(self, work: Work, bench: Workbench) -> None:
        from orchestrator.bench.shadows import ShadowWorker

        waiting = shadow_batches(work)
        work.listener(Event(kind="phase", name="shadow models", total=sum(len(n) for _, n in waiting)))
        workers = {name: ShadowWorker(bench, name) for name in {name for name, _ in waiting}}
        for architecture, numbers in waiting:
            if work.stop.is_set():
                return
            started = time.perf_counter()
            problems = workers[architecture].run(numbers)
            report_shadows(work, architecture, numbers, bench.done(problems, since=started))


def needs_shadows(work: Work) -> bool:
    """Whether a cell that is to be measured rests on shadow models."""
    return any(isinstance(cell.subject, ShadowSubject) for cell in work.cells)


def shadow_batches(work: Work) -> list[tuple[str, list[int]]]:
    """Shadow models whose observations are incomplete, by architecture and batch."""
    size = work.plan.config.shadows.batch
    found: list[tuple[str, list[int]]] = []
    for architecture in work.plan.shadow_sets:
        numbers = sorted(missing_groups(work.plan, work.store, architecture))
        batches = itertools.groupby(numbers, key=lambda shadow: shadow // size)
        found += [(architecture, list(batch)) for _, batch in batches]
    return found


def report_shadows(work: Work, architecture: str, numbers: Sequence[int], done: Done) -> None:
    """Tell the audience that a batch of shadow models has ended."""
    for number in numbers:
        event = Event(
            kind="shadow",
            name=f"{architecture} shadow {number}",
            seconds=done.seconds / len(numbers),
            group=architecture,
            memory=done.memory,
        )
        work.listener(event)
    for problem in done.problems:
        work.listener(Event(kind="note", name=f"failed: {problem}"))


def make_backend(name: str) -> Backend:
    """The backend of that name; Ray is imported only where it is used."""
    if name == "inline":
        return InlineBackend()
    try:
        from orchestrator.backends.on_ray.backend import RayBackend
    except ImportError as error:
        raise AuditError(f"backend {name}: Ray cannot be imported ({error}); use --backend inline") from None
    return RayBackend(address="local" if name == "local" else "auto")


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


def model_group(spec: ModelSpec) -> str:
    """Models of one group are expected to take equally long to train."""
    return f"{spec.kind} {spec.architecture}"


def cell_group(cell: Cell) -> str:
    """Cells of one group are expected to take equally long."""
    return f"{cell.architecture} {cell.method} {cell.attack}"


def cell_event(cell: Cell, row: dict[str, object], memory: Memory | None) -> Event:
    """The event of a measured or failed cell."""
    failed = row["status"] == "failed"
    return Event(
        kind="cell",
        name=" ".join(f"{v}" for v in cell.axes.values()),
        status="failed" if failed else "finished",
        seconds=float(row.get("seconds") or 0.0),  # type: ignore[arg-type]
        error=f"{row.get('error_type')}: {row.get('error')}" if failed else "",
        group=cell_group(cell),
        memory=memory,
    )
