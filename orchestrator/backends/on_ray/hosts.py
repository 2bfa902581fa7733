"""Ray actors that hold the data and the models on their device."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import ray

from orchestrator.backends.on_ray.ending import Ended, go_on, gpu_share_of_this_process, unless_lost
from orchestrator.config.settings import SweepConfig
from orchestrator.progress.events import Done
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tasks.networks.weight_files import NOTHING_READ, Digests

if TYPE_CHECKING:
    from orchestrator.bench.workbench import Workbench


# Calls are not retried by Ray but by their callers, who take another host at once instead of waiting for this
# one to come back, and who tell what killed a host from what merely waited there.
@ray.remote(max_restarts=-1, max_task_retries=0)
class ModelHost:
    """A workbench in its own process. One call at a time: the device is not shared between calls.

    Args:
        config: the sweep; the host derives the plan from it, so a restart needs no other process.
        root: where results go, as every node reaches it.
        digests: of files that the driver has read.
    """

    def __init__(self, config: SweepConfig, root: str, digests: Digests = NOTHING_READ) -> None:
        self._config, self._digests = config, digests
        self._store = Store(root)
        self._built: Workbench | None = None

    def _bench(self) -> Workbench:
        """Built by the first call: what is wrong with it is then an answer, not the end of the actor."""
        from orchestrator.bench.workbench import Workbench

        go_on()
        if self._built is None:
            share = gpu_share_of_this_process()
            self._built = Workbench.at(self._config, self._store.root, self._digests, share=share)
        return self._built

    def check(self) -> str | None:
        """Why it cannot work (results out of reach, missing plug-in, empty scope, ...); None if it can."""
        from orchestrator.bench.check import check_models

        try:
            check_models(self._bench().plan)
        except AuditError as error:
            return str(error)
        return None

    def make_model(self, model_id: str) -> Done | Ended:
        """Make sure that a model is stored; tells the reason where it cannot be made."""
        started = time.perf_counter()
        bench = self._bench()
        return unless_lost(lambda: bench.done([bench.make_model(model_id)], since=started))

    def run_cell(self, cell_id: str, run_id: str) -> dict[str, Any] | Ended:
        """Measure a cell and write its rows, or say how it failed; with the row, the memory that is held.

        A call that is repeated after a crash finds the row of the first and returns it.
        """
        row = self._written(cell_id, run_id)
        if row is not None:
            return row
        bench = self._bench()
        return unless_lost(
            lambda: bench.run_cell(cell_id, run_id=run_id) | {"memory": dataclasses.asdict(bench.memory())}
        )

    def drained(self) -> None:
        """Answer once every call before this one has ended; never where the process is about to."""
        go_on()

    def _written(self, cell_id: str, run_id: str) -> dict[str, Any] | None:
        if not self._store.has("cells", cell_id):
            return None
        row: dict[str, Any] = self._store.read("cells", cell_id).to_pylist()[0]
        return row if row["run_id"] == run_id else None
