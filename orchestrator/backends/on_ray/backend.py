"""The Ray backends: train and unlearn on model hosts, shadows as tasks, cells through Tune."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.backends.on_ray.session import (
    connected,  # first: it sets what Ray reads when it is imported
)

import ray  # isort: skip
from ray import tune  # isort: skip

from orchestrator.backends.on_ray.dispatch import HostDied, HostPool
from orchestrator.backends.on_ray.fleet import drain, fleet, host_resources, room
from orchestrator.backends.on_ray.shadow_tasks import check_plan, pretrain, run_tasks
from orchestrator.backends.on_ray.trials import UNWRITTEN, CellTrial, InOrder, WhenAdded
from orchestrator.backends.work import Work
from orchestrator.config.settings import Execution
from orchestrator.errors import one_line
from orchestrator.plan.cells import Cell, ModelSpec
from orchestrator.progress.events import Done, Event, Memory
from orchestrator.progress.units import cell_event, model_event
from orchestrator.records import rows
from tasks.errors import AuditError
from tasks.networks.weight_files import known_digests

TRIAL_RETRIES = 2
SLOTS = 4096
"""Trials for which this machine has room: enough for any number of hosts, which is what limits them."""


class RayBackend:
    """Runs work on Ray.

    Args:
        address: "local" starts a private Ray on this machine and ends it; "auto" joins the running cluster.
    """

    def __init__(self, *, address: str) -> None:
        self._address = address
        self._local = address == "local"

    def run(self, work: Work) -> None:
        """See `Backend.run`."""
        try:
            self._run(work)
        except ray.exceptions.RayError as error:
            raise AuditError(
                f"backend: Ray ended while the sweep ran; the same command goes on ({one_line(error)[:300]})"
            ) from error

    def _run(self, work: Work) -> None:
        execution = work.plan.config.execution
        with connected(self._address, slots=SLOTS) as folder:
            offered = ray.cluster_resources()
            hosts, options = host_resources(execution, offered, local=self._local)
            check_slots(work, int(offered.get("trial", 0)), hosts)
            if told := room(hosts, options.get("num_gpus"), int(offered.get("GPU", 0))):
                work.listener(Event(kind="note", name=told))
            # Shadow tasks come before the hosts, which would hold the accelerators that they need.
            if work.shadows:
                pretrain(work, options)
                _unlearn_shadows(work, execution, local=self._local)
            if (work.cells or work.models) and not work.stop.is_set():
                with fleet(work, local=self._local) as pool:
                    train(work, pool)
                    measure(work, pool, folder)


def check_slots(work: Work, offered: int, hosts: int) -> None:
    """Say where a cluster's head node has too few trial slots for its hosts, which would wait for ever.

    Raises:
        AuditError: it has none.
    """
    advice = f"""start the head with --resources='{{"trial": {SLOTS}}}'"""
    if offered == 0:
        raise AuditError(f"backend: the head of the Ray cluster offers no trial slots; {advice}")
    if offered < hosts:
        text = f"{hosts - offered} of {hosts} model hosts will idle: the head offers {offered} trial slots; {advice}"
        work.listener(Event(kind="note", name=text))


def train(work: Work, pool: HostPool) -> None:
    """Train what others start from, then the originals and the retrained models, one at a time on each host."""
    work.listener(Event(kind="phase", name="training", total=len(work.models)))

    def make(spec: ModelSpec) -> Done | None:
        if work.stop.is_set():
            return None
        try:
            done: Done = pool.run(
                spec.model_id, spec.model_id, lambda host: host.make_model.remote(spec.model_id), limit=1
            )
        except HostDied as error:
            return Done(problems=(one_line(error),))
        return done

    threads = ThreadPoolExecutor(max_workers=len(pool.hosts))
    try:
        for base in (True, False):
            wave = [spec for spec in work.models if (spec.kind == "pretrained") == base]
            specs = {threads.submit(make, spec): spec for spec in wave}
            for done in as_completed(specs):
                result = done.result()
                if result is not None:
                    work.listener(model_event(specs[done], result))
    finally:
        # A second Ctrl-C comes through here: the hosts that threads wait for are ended by the caller.
        threads.shutdown(wait=False, cancel_futures=True)


def _unlearn_shadows(work: Work, execution: Execution, *, local: bool) -> None:
    """Complete the observations of the shadow models, one task on every part of a device or CPU."""
    problem = ray.get(check_plan.remote(work.plan.config, work.store.root, known_digests()))
    if problem:
        raise AuditError(problem)
    resources = ray.cluster_resources()
    count, options = host_resources(execution, resources, local=local)
    if execution.device == "cuda":
        run_tasks(work, slots=max(count, int(resources.get("GPU", 0))), options=options)
    else:
        cpus = int(resources.get("CPU", 1))
        threads = max(execution.threads, cpus // count) if execution.device == "mps" else execution.threads
        run_tasks(work, slots=max(execution.hosts, cpus // threads, 1), options={"num_cpus": threads})


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
    models = trials(work.cells)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=InOrder(models),
            scheduler=WhenAdded(),
            num_samples=len(models),
            max_concurrent_trials=len(pool.hosts),
            reuse_actors=True,
        ),
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


def trials(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The configuration of each trial: a model and all its cells.

    They stay on one host, which makes the model once; and Tune's time and memory go by trials, not by cells.
    """
    folded: dict[str, list[str]] = {}
    for cell in cells:
        folded.setdefault(cell.subject.id, []).append(cell.cell_id)
    return [{"work": {"model_id": model_id, "cells": ids}} for model_id, ids in folded.items()]


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
        """Some cells have ended, one way or the other."""
        for row in result.pop("rows", ()):
            self._ended(row)

    def _ended(self, row: dict[str, Any]) -> None:
        cell = self._cells.get(row["cell_id"])
        if cell is None:
            return
        if row["status"] == UNWRITTEN:
            self.problem = str(row["error"])
            return
        # A trial that is tried again runs its finished cells again, which then only tell their rows.
        del self._cells[cell.cell_id]
        memory = row.pop("memory")
        if row["error_type"] == HostDied.__name__:
            self._write(cell, row)
        self.failed += row["status"] == "failed"
        self._work.listener(cell_event(cell, row, Memory(**memory) if memory else None))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Let go of what Tune has gathered about a trial that is over: 15 KB that nobody reads."""
        trial.run_metadata.metric_analysis = {}
        trial.run_metadata.metric_n_steps = {}

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
