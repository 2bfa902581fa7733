"""The Ray backends: train and unlearn on model hosts, shadows as tasks, cells through Tune."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.session import connected  # first: it sets what Ray reads when it is imported

import ray  # isort: skip
from ray import tune  # isort: skip

from orchestrator import rows
from orchestrator.backends import Work, cell_event, model_event, needs_shadows
from orchestrator.config import Execution
from orchestrator.dispatch import HostDied, HostPool
from orchestrator.errors import one_line
from orchestrator.events import Event
from orchestrator.fleet import drain, fleet, host_count
from orchestrator.plan import Cell, ModelSpec, blocks
from orchestrator.shadows import check_plan, run_tasks
from orchestrator.trials import QUEUE, CellTrial
from tasks.errors import AuditError

FOLD_ABOVE = 10_000
"""Cells above which a trial is a model with all its attacks: Tune's time per trial grows with trials."""
TRIAL_RETRIES = 2


class RayBackend:
    """Runs work on Ray.

    Args:
        address: "local" starts a private Ray on this machine and ends it; "auto" joins the running cluster.
    """

    def __init__(self, *, address: str) -> None:
        self._address = address
        self._local = address == "local"

    def run(self, work: Work) -> None:
        """See `backends.Backend.run`."""
        try:
            self._run(work)
        except ray.exceptions.RayError as error:
            raise AuditError(
                f"backend: Ray ended while the sweep ran; the same command goes on ({one_line(error)[:300]})"
            ) from error

    def _run(self, work: Work) -> None:
        execution = work.plan.config.execution
        slots = QUEUE * host_count(execution, os.cpu_count() or 1, 0)
        with connected(self._address, slots=slots) as folder:
            # Shadow tasks come before the hosts, which would hold the accelerators that they need.
            if needs_shadows(work):
                _unlearn_shadows(work, execution)
            if (work.cells or work.models) and not work.stop.is_set():
                with fleet(work, local=self._local) as pool:
                    train(work, pool)
                    measure(work, pool, folder)


def train(work: Work, pool: HostPool) -> None:
    """Train the originals and the retrained models, one at a time on each host."""
    work.listener(Event(kind="phase", name="training", total=len(work.models)))

    def make(spec: ModelSpec) -> str | None:
        if work.stop.is_set():
            return None
        try:
            return pool.run(
                spec.model_id, spec.model_id, lambda host: host.make_model.remote(spec.model_id), limit=1
            )
        except HostDied as error:
            return one_line(error)

    threads = ThreadPoolExecutor(max_workers=len(pool.hosts))
    try:
        specs = {threads.submit(make, spec): spec for spec in work.models}
        for done in as_completed(specs):
            error = done.result()
            if not work.stop.is_set() or error is not None:
                work.listener(model_event(specs[done], error))
    finally:
        # A second Ctrl-C comes through here: the hosts that threads wait for are ended by the caller.
        threads.shutdown(wait=False, cancel_futures=True)


def _unlearn_shadows(work: Work, execution: Execution) -> None:
    """Complete the observations of the shadow models, one task on every device or CPU."""
    problem = ray.get(check_plan.remote(work.plan.config, work.store.root))
    if problem:
        raise AuditError(problem)
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if execution.device in ("auto", "cuda") else 0
    if gpus or execution.device == "cuda":
        run_tasks(work, slots=max(gpus, execution.hosts, 1), options={"num_gpus": 1, "num_cpus": 0})
    else:
        slots = max(execution.hosts, int(resources.get("CPU", 1)) // execution.threads, 1)
        run_tasks(work, slots=slots, options={"num_cpus": execution.threads})


def measure(work: Work, pool: HostPool, folder: Path) -> None:
    """Let Tune fan out the cells.

    Raises:
        AuditError: results cannot be written.
    """
    if not work.cells or work.stop.is_set():
        return
    work.listener(Event(kind="phase", name="cells", total=len(work.cells)))
    trainable = tune.with_resources(
        tune.with_parameters(CellTrial, pool=pool, run_id=work.run_id), {"cpu": 0, "trial": 1}
    )
    progress = _Progress(work)
    tuner = tune.Tuner(
        trainable,
        param_space={"work": tune.grid_search(trials(work.cells, QUEUE * len(pool.hosts)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="tune",
            # Finished cells are files and restart from them; Tune's own state serves nobody afterwards.
            storage_path=str(folder),
            verbose=0,
            callbacks=[progress],
            stop=_StopWhenAsked(work, progress),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=TRIAL_RETRIES),
        ),
    )
    tuner.fit()
    # Draining: trials have been let go, but their hosts finish and write what they had begun.
    drain(pool)
    if progress.problem:
        raise AuditError(progress.problem)


class Grid(list[dict[str, Any]]):
    """Values of a grid search that are copied by reference.

    For every trial Tune makes a deep copy of all values of the axis: time that grows with the square of the
    cells, half a second for each of 5,000.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Grid:
        return self


def trials(cells: Sequence[Cell], width: int) -> Grid:
    """The work of each trial: a cell, or in a large sweep all cells of a model."""
    ordered = blocks(cells, width)
    if len(ordered) <= FOLD_ABOVE:
        return Grid({"model_id": cell.model_id, "cells": [cell.cell_id]} for cell in ordered)
    folded: dict[str, list[str]] = {}
    for cell in ordered:
        folded.setdefault(cell.model_id, []).append(cell.cell_id)
    return Grid({"model_id": model_id, "cells": ids} for model_id, ids in folded.items())


class _Progress(tune.Callback):
    """Turns Tune's results into events, and into rows where no host was left to write them."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._cells = {cell.cell_id: cell for cell in work.cells}
        self.failed = 0
        self.problem = ""
        """Why a trial failed for good. Failed cells are results, so this is the disk or a bug."""

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A cell has ended, one way or the other."""
        cell = self._cells.get(result.get("cell_id", ""))
        if cell is None:
            return
        row = {k: result.get(f"cell_{k}") for k in ("status", "seconds", "error_type", "error")}
        if row["error_type"] == HostDied.__name__:
            self._write(cell, row)
        self.failed += row["status"] == "failed"
        self._work.listener(cell_event(cell, row))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has failed as often as it may."""
        error = trial.get_error()
        self.problem = one_line(getattr(error, "cause", None) or error)

    def _write(self, cell: Cell, row: dict[str, Any]) -> None:
        whole = rows.cell_row(self._work.plan, cell, run_id=self._work.run_id) | row
        try:
            self._work.store.write("cells", cell.cell_id, [whole | {"finished_at": datetime.now(UTC)}])
        except AuditError as error:
            self.problem = str(error)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks into every snapshot; ours hold displays and locks


class _StopWhenAsked(tune.Stopper):
    """Ends the experiment on Ctrl-C, where results cannot be written, or after `max_failures`."""

    def __init__(self, work: Work, progress: _Progress) -> None:
        self._stop = work.stop
        self._allowed = work.plan.config.execution.max_failures
        self._progress = progress

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self._stop.is_set() or self._progress.problem:
            return True
        return bool(self._allowed and self._progress.failed >= self._allowed)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune snapshots its stopper; an event of this process cannot travel and need not
