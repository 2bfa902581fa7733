"""An audit of outputs from its description to the results."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from orchestrator.audit.compute import tidy
from orchestrator.audit.incomplete import incomplete
from orchestrator.audit.missing import check_purged, missing_cells
from orchestrator.audit.outcome import Outcome, outcome
from orchestrator.backends.work import Work
from orchestrator.outputs.description import Request
from orchestrator.outputs.files import Files
from orchestrator.outputs.plan import Prepared, prepare
from orchestrator.outputs.record import unobserved, write_models, write_observations
from orchestrator.outputs.sources import read_sources
from orchestrator.progress.events import Event, Listener
from orchestrator.records import retained_copies
from orchestrator.records.plans import recorded, write_run
from orchestrator.store.store import Store


@contextlib.contextmanager
def prepared(request: Request) -> Iterator[Prepared]:
    """The plan of a description, whose files stay open.

    Raises:
        AuditError: a file is wrong, or nothing can be said of what is given.
    """
    files = Files()
    try:
        yield prepare(request, read_sources(request.outputs, files))
    finally:
        files.close()


def audit(made: Prepared, store: Store, *, listener: Listener, stop: threading.Event) -> Outcome:
    """Measure what the results lack; calling it again resumes, and computes nothing where nothing is missing.

    Args:
        made: what is measured.
        store: the results, which are ready.
        listener: hears of the progress.
        stop: set it to let what runs finish and begin nothing new.
    """
    began, started, plan = time.perf_counter(), datetime.now(UTC), made.plan
    check_purged(plan, store, "none")
    cells = missing_cells(plan, store, "none", incomplete(plan, store))
    observations = unobserved(made, store)
    new = retained_copies.unrecorded(plan.data, store)
    if cells or observations or new:
        for line in plan.notes:
            listener(Event(kind="note", name=line))
        before = len(store.keys("cells") & {cell.cell_id for cell in plan.cells})
        run_id = write_run(plan, store, started, before=before)
        listener(Event(kind="note", name=f"{run_id}: {len(cells)} cells, results in {store.root}"))
        retained_copies.write_forget_sets(plan.data, store, new, dataset=plan.config.data.name)
        write_models(made, store)
        listener(Event(kind="phase", name="shadow models", total=len(observations)))
        for group, shadow, runs in observations:
            if stop.is_set():
                break
            write_observations(made, store, group, shadow, runs)
            name = f"{group.architecture} {group.method} {shadow}"
            listener(Event(kind="shadow", name=name, group=group.architecture))
        work = Work(
            plan=plan,
            store=store,
            run_id=run_id,
            models=(),
            shadows=(),
            cells=cells,
            listener=listener,
            stop=stop,
        )
        _measure(made, work)
        tidy(store, run_id, listener, stop)
    else:
        run_id = recorded(plan, store) or write_run(plan, store, started, before=len(plan.cells))
    return outcome(plan, store, run=run_id, stopped=stop.is_set(), seconds=time.perf_counter() - began)


def _measure(made: Prepared, work: Work) -> None:
    from orchestrator.outputs.bench import OutputsBackend  # torch: a refusal can do without

    OutputsBackend(made).run(work)
