"""Ray, on this machine or on a cluster: hosts, then Tune over the cells."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune
from ray.actor import ActorHandle

from orchestrator import rows
from orchestrator.backends import Work, cell_event, model_event, needs_shadows
from orchestrator.config import Execution
from orchestrator.errors import one_line
from orchestrator.events import Event, Listener
from orchestrator.hosts import Dispatcher, ModelHost
from orchestrator.plan import Cell, ModelSpec, blocks
from orchestrator.shadows import check_plan, run_tasks
from orchestrator.trials import CellTrial
from tasks.errors import AuditError

QUEUE = 2
"""Cells at a host: one runs, one waits, so that the device never waits for a trial."""


class RayBackend:
    """Runs work on Ray.

    Args:
        address: "local" starts a private Ray on this machine and ends it; "auto" joins the running cluster.
    """

    def __init__(self, *, address: str) -> None:
        self._address = address

    def run(self, work: Work) -> None:
        """See `backends.Backend.run`."""
        execution = work.plan.config.execution
        with self._connected(execution):
            # Shadow tasks come before the hosts, which would hold the accelerators that they need.
            if needs_shadows(work):
                _unlearn_shadows(work, execution)
            if (work.cells or work.models) and not work.stop.is_set():
                with _hosts(work, execution) as hosts:
                    _train(work, hosts)
                    if work.cells and not work.stop.is_set():
                        _measure(work, hosts)

    @contextlib.contextmanager
    def _connected(self, execution: Execution) -> Iterator[None]:
        # A bare ray.init() would join whatever cluster happens to run on this machine.
        options: dict[str, Any] = {
            "log_to_driver": False,
            "configure_logging": True,
            "logging_level": "ERROR",
        }
        if self._address == "local":
            slots = QUEUE * _host_count(execution, os.cpu_count() or 1, 0)
            options |= {"resources": {"trial": slots}, "include_dashboard": False}
        try:
            ray.init(address=self._address, namespace="lethe", **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise AuditError(f"backend: cannot connect to Ray ({self._address}): {one_line(error)}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _host_count(execution: Execution, cpus: int, gpus: int) -> int:
    if execution.hosts:
        return execution.hosts
    return gpus if gpus else max(1, cpus // execution.threads)


@contextlib.contextmanager
def _hosts(work: Work, execution: Execution) -> Iterator[list[ActorHandle]]:
    """Start the hosts, let each check every architecture and scope, and end them afterwards."""
    available = ray.cluster_resources()
    gpus = int(available.get("GPU", 0)) if execution.device in ("auto", "cuda") else 0
    count = _host_count(execution, int(available.get("CPU", 1)), gpus)
    options: dict[str, Any] = {"num_gpus": min(1.0, gpus / count)} if gpus else {"num_cpus": 0}
    hosts = [ModelHost.options(**options).remote(work.plan.config, work.store.root) for _ in range(count)]
    try:
        for problem in ray.get([host.check.remote() for host in hosts]):
            if problem:
                raise AuditError(problem)
        yield hosts
    finally:
        for host in hosts:
            ray.kill(host)


def _train(work: Work, hosts: Sequence[ActorHandle]) -> None:
    """Train the originals and the retrained models, one at a time on each host."""
    work.listener(Event(kind="phase", name="training", total=len(work.models)))
    waiting = list(reversed(work.models))
    running: dict[ray.ObjectRef, tuple[ActorHandle, ModelSpec]] = {}
    idle = list(hosts)
    while running or (waiting and not work.stop.is_set()):
        while idle and waiting and not work.stop.is_set():
            host, spec = idle.pop(), waiting.pop()
            running[host.make_model.remote(spec.model_id)] = (host, spec)
        ready, _ = ray.wait(list(running), num_returns=1)
        host, spec = running.pop(ready[0])
        idle.append(host)
        try:
            error = ray.get(ready[0])
        except ray.exceptions.RayError as died:
            error = f"the host process ended while it trained this model: {one_line(died)[:300]}"
        work.listener(model_event(spec, error))


def _unlearn_shadows(work: Work, execution: Execution) -> None:
    """Complete the observations of the shadow models, one task on every device or CPU."""
    problem = ray.get(check_plan.remote(work.plan.config, work.store.root))
    if problem:
        raise AuditError(problem)
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if execution.device in ("auto", "cuda") else 0
    if gpus:
        run_tasks(work, slots=gpus, options={"num_gpus": 1, "num_cpus": 0})
    else:
        slots = max(1, int(resources.get("CPU", 1)) // execution.threads)
        run_tasks(work, slots=slots, options={"num_cpus": execution.threads})


def _measure(work: Work, hosts: list[ActorHandle]) -> None:
    """Let Tune fan out the cells."""
    work.listener(Event(kind="phase", name="cells", total=len(work.cells)))
    ordered = blocks(work.cells, QUEUE * len(hosts))
    dispatcher = Dispatcher.remote(len(hosts))
    trainable = tune.with_resources(
        tune.with_parameters(CellTrial, hosts=hosts, dispatcher=dispatcher, root=work.store.root),
        {"cpu": 0, "trial": 1},
    )
    # Finished cells are files and restart from them; Tune's own state serves nobody afterwards.
    scratch = tempfile.mkdtemp(prefix="lethe-tune-")
    tuner = tune.Tuner(
        trainable,
        param_space={
            "cell": tune.grid_search([rows.cell_row(work.plan, c, run_id=work.run_id) for c in ordered])
        },
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name=work.run_id,
            storage_path=scratch,
            verbose=0,
            callbacks=[CellProgress(work.listener, {c.cell_id: c for c in ordered})],
            stop=_StopWhenAsked(work),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=2),
        ),
    )
    try:
        tuner.fit()
        # Draining: trials have been let go, but their hosts finish and write what they had begun.
        ray.get([host.drained.remote() for host in hosts])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _StopWhenAsked(tune.Stopper):
    """Ends the experiment once the user asked for it; failures alone never do, unless the config says so."""

    def __init__(self, work: Work) -> None:
        self._stop = work.stop
        self._allowed = work.plan.config.execution.max_failures
        self._failed = 0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self._failed += result.get("cell_status") == "failed"
        return False

    def stop_all(self) -> bool:
        return self._stop.is_set() or bool(self._allowed and self._failed >= self._allowed)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune snapshots its stopper; an event of this process cannot travel and need not


class CellProgress(tune.Callback):
    """Turns Tune's results into events."""

    def __init__(self, listener: Listener, cells: dict[str, Cell]) -> None:
        self._listener = listener
        self._cells = cells

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A cell has ended, one way or the other."""
        if result.get("cell_id") not in self._cells:
            return
        row = {k: result.get(f"cell_{k}") for k in ("status", "seconds", "error_type", "error")}
        self._listener(cell_event(self._cells[result["cell_id"]], row))

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks into every snapshot; ours hold displays and locks
