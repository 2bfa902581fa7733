"""Ray actors that hold the data and the models on their device, and the one that deals work to them."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from typing import Any

import ray

from orchestrator import rows
from orchestrator.config import SweepConfig

TASK_RETRIES = 2
"""How often a call is repeated after its host died. A cell that kills three hosts is a failed row."""


@ray.remote(max_restarts=-1, max_task_retries=TASK_RETRIES)
class ModelHost:
    """A workbench in its own process. One call at a time: the device is not shared between calls.

    Args:
        config: the sweep; the host derives the plan from it, so a restart needs no other process.
        root: where results go, as every node reaches it.
    """

    def __init__(self, config: SweepConfig, root: str) -> None:
        from orchestrator.grid import make_plan
        from orchestrator.store import Store
        from orchestrator.workbench import Workbench
        from tasks.registry import import_plugins

        import_plugins(config.plugins)
        plan = make_plan(config)

        self._store = Store(root)
        self._bench = Workbench(plan, self._store)
        self._cells = {cell.cell_id: cell for cell in plan.cells}
        self._timeout = config.execution.cell_timeout

    def check(self) -> str | None:
        """The message of the first architecture or scope that cannot be built; None where all can."""
        from tasks.errors import AuditError

        try:
            self._bench.check()
        except AuditError as error:
            return str(error)
        return None

    def make_model(self, model_id: str) -> str | None:
        """Make sure that a model is stored; the reason where it cannot be made."""
        return self._bench.make_model(model_id)

    def run_cell(self, cell_id: str, run_id: str) -> dict[str, Any]:
        """Measure a cell and write its rows, or say how it failed.

        A call that is repeated after a crash finds the row of the first and returns it.
        """
        row = self._written(cell_id, run_id)
        if row is not None:
            return row
        watchdog = threading.Timer(self._timeout, self._give_up, (cell_id, run_id))
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._bench.run_cell(cell_id, run_id=run_id)
        finally:
            watchdog.cancel()

    def drained(self) -> None:
        """Answer once every call before this one has ended."""

    def _written(self, cell_id: str, run_id: str) -> dict[str, Any] | None:
        if not self._store.has("cells", cell_id):
            return None
        row: dict[str, Any] = self._store.read("cells", cell_id).to_pylist()[0]
        return row if row["run_id"] == run_id else None

    def _give_up(self, cell_id: str, run_id: str) -> None:
        """Write the failure of a hanging cell, then end the process: nothing else can stop its thread."""
        row = rows.cell_row(self._bench.plan, self._cells[cell_id], run_id=run_id)
        row |= {
            "status": "failed",
            "error_type": "Timeout",
            "error": f"no result after {self._timeout:.0f} s",
            "finished_at": datetime.now(UTC),
        }
        self._store.write("cells", cell_id, [row])
        os._exit(1)


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Dispatcher:
    """Deals cells to hosts: a model's cells to the host that works on it, else to the least busy one."""

    def __init__(self, num_hosts: int) -> None:
        self._waiting: list[dict[str, int]] = [{} for _ in range(num_hosts)]

    def acquire(self, model_id: str) -> int:
        """The index of the host that a cell of this model should go to."""
        index = next((i for i, models in enumerate(self._waiting) if model_id in models), None)
        if index is None:
            index = min(range(len(self._waiting)), key=lambda i: sum(self._waiting[i].values()))
        models = self._waiting[index]
        models[model_id] = models.get(model_id, 0) + 1
        return index

    def release(self, index: int, model_id: str) -> None:
        """A cell of this model has ended on that host."""
        models = self._waiting[index]
        remaining = models.get(model_id, 1) - 1
        if remaining:
            models[model_id] = remaining
        else:
            models.pop(model_id, None)

    def outstanding(self) -> int:
        """Cells that hosts still work on or have queued."""
        return sum(sum(models.values()) for models in self._waiting)
