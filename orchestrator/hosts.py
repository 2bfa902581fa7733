"""Ray actors that hold the data and the models on their device."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ray

from orchestrator import rows
from orchestrator.config import SweepConfig
from orchestrator.store import Store
from tasks.errors import AuditError

if TYPE_CHECKING:
    from orchestrator.workbench import Workbench


# Calls are not retried by Ray but by their callers, who take another host at once instead of waiting for this
# one to come back, and who tell what killed a host from what merely waited there.
@ray.remote(max_restarts=-1, max_task_retries=0)
class ModelHost:
    """A workbench in its own process. One call at a time: the device is not shared between calls.

    Args:
        config: the sweep; the host derives the plan from it, so a restart needs no other process.
        root: where results go, as every node reaches it.
    """

    def __init__(self, config: SweepConfig, root: str) -> None:
        self._config = config
        self._store = Store(root)
        self._timeout = config.execution.cell_timeout
        self._built: Workbench | None = None

    def _bench(self) -> Workbench:
        """Built by the first call: what is wrong with it is then an answer, not the end of the actor."""
        from orchestrator.grid import make_plan
        from orchestrator.workbench import Workbench
        from tasks.registry import import_plugins

        if self._built is None:
            import_plugins(self._config.plugins)
            self._built = Workbench(make_plan(self._config), self._store)
        return self._built

    def check(self) -> str | None:
        """Why it cannot work (missing plug-in, unknown architecture, empty scope); None if it can."""
        try:
            self._bench().check()
        except AuditError as error:
            return str(error)
        return None

    def make_model(self, model_id: str) -> str | None:
        """Make sure that a model is stored; the reason where it cannot be made."""
        try:
            return self._bench().make_model(model_id)
        except SystemExit as error:
            return f"SystemExit: {error}"

    def run_cell(self, cell_id: str, run_id: str) -> dict[str, Any]:
        """Measure a cell and write its rows, or say how it failed.

        A call that is repeated after a crash finds the row of the first and returns it.
        """
        row = self._written(cell_id, run_id)
        if row is not None:
            return row
        bench = self._bench()
        try:
            with self._time_limit(bench, cell_id, run_id):
                return bench.run_cell(cell_id, run_id=run_id)
        except SystemExit as error:  # an actor that lets it through ends for good
            return self._failed(bench, cell_id, run_id, "SystemExit", f"the code called sys.exit({error})")

    def drained(self) -> None:
        """Answer once every call before this one has ended."""

    def _written(self, cell_id: str, run_id: str) -> dict[str, Any] | None:
        if not self._store.has("cells", cell_id):
            return None
        row: dict[str, Any] = self._store.read("cells", cell_id).to_pylist()[0]
        return row if row["run_id"] == run_id else None

    @contextmanager
    def _time_limit(self, bench: Workbench, cell_id: str, run_id: str) -> Iterator[None]:
        watchdog = threading.Timer(self._timeout, self._give_up, (bench, cell_id, run_id))
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _give_up(self, bench: Workbench, cell_id: str, run_id: str) -> None:
        """Write the failure of a hanging cell, then end the process: nothing else can stop its thread."""
        try:
            self._failed(bench, cell_id, run_id, "Timeout", f"no result after {self._timeout:.0f} s")
        finally:
            os._exit(1)

    def _failed(self, bench: Workbench, cell_id: str, run_id: str, kind: str, message: str) -> dict[str, Any]:
        """Write the row of a cell that failed outside the workbench."""
        cell = next(cell for cell in bench.plan.cells if cell.cell_id == cell_id)
        row = rows.cell_row(bench.plan, cell, run_id=run_id)
        row |= {"status": "failed", "error_type": kind, "error": message, "finished_at": datetime.now(UTC)}
        self._store.write("cells", cell_id, [row])
        return row
