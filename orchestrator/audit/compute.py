"""Compute what results lack of a plan, on the configured backend."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from orchestrator.audit.again import forget_results
from orchestrator.audit.finished import told_of_given
from orchestrator.audit.incomplete import discard, incomplete
from orchestrator.audit.missing import Rerun, missing_cells, missing_models
from orchestrator.backends.choose import make_backend
from orchestrator.backends.work import Work
from orchestrator.errors import one_line
from orchestrator.estimate.cost import worker_count
from orchestrator.estimate.past import read_past
from orchestrator.estimate.stages import stages
from orchestrator.plan.cells import Plan
from orchestrator.progress.events import Event, Listener
from orchestrator.records import provenance, retained_copies
from orchestrator.records.plans import recorded, write_run
from orchestrator.records.shadow_batches import shadow_batches
from orchestrator.store import inventory
from orchestrator.store.purges import purged
from orchestrator.store.store import SMALL_FILES, Store
from tasks.errors import AuditError


def compute(plan: Plan, store: Store, *, rerun: Rerun, listener: Listener, stop: threading.Event) -> str:
    """Compute what is missing of a plan on the configured backend.

    A plan of which nothing is missing is recorded as a run of its own, unless the latest run asked for the same:
    answers are about what was asked for last.

    Returns:
        The run that asks for this plan.
    """
    started = datetime.now(UTC)
    again = incomplete(plan, store)
    cells = missing_cells(plan, store, rerun, again)
    before = len(store.keys("cells") & {cell.cell_id for cell in plan.cells})
    discard(again, plan, store)
    if rerun != "none":
        forget_results(plan, store, cells, rerun)
    models = missing_models(plan, store, cells)
    new = [] if rerun == "none" and purged(store) else retained_copies.unrecorded(plan.data, store)
    if not (cells or models or new):
        return recorded(plan, store) or write_run(plan, store, started, before=before)
    backend = make_backend(plan.config.execution.backend)
    for line in (*plan.notes, *provenance.changed_plugins(plan, store), *told_of_given(plan)):
        listener(Event(kind="note", name=line))
    run_id = write_run(plan, store, started, before=before)
    listener(Event(kind="note", name=f"{run_id}: {len(cells)} cells, results in {store.root}"))
    if new:
        listener(Event(kind="note", name=f"looking for copies that stay of forget sets: {', '.join(new)}"))
    for warning in retained_copies.write_forget_sets(plan.data, store, new, dataset=plan.config.data.name):
        listener(Event(kind="note", name=warning))
    work = Work(
        plan=plan,
        store=store,
        run_id=run_id,
        models=models,
        shadows=shadow_batches(plan, store, cells),
        cells=cells,
        listener=listener,
        stop=stop,
    )
    listener(announcement(work))
    backend.run(work)
    return run_id


def announcement(work: Work) -> Event:
    """What a run will do, and how long each stage may take where such stages have run."""
    found = stages(
        work.plan,
        read_past(work.store, sizes=False),
        models=work.models,
        shadows=work.shadows,
        cells=work.cells,
        store=work.store,
    )
    workers = worker_count(work.plan.config.execution)
    return Event(kind="stages", name=work.run_id, stages=found, workers=workers)


def tidy(store: Store, run_id: str, listener: Listener, stop: threading.Event) -> None:
    """Write down what a sweep that has come to its end has left, and merge its small files.

    What is left as it is can be read all the same.
    """
    try:
        inventory.take(store, run_id)
    except AuditError as error:
        listener(Event(kind="note", name=f"what there is is not listed: {one_line(error)}"))
    try:
        merged = 0 if stop.is_set() else store.compact(at_least=SMALL_FILES)
    except AuditError as error:
        listener(Event(kind="note", name=f"small files are not merged: {one_line(error)}"))
    else:
        if merged:
            listener(Event(kind="note", name=f"merged {merged} small files"))
