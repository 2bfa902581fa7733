"""One process's share of a sweep: resident data and models, each stage made once, rows written when done.

The workbench runs the same in this process (backend inline) and inside a `ModelHost` actor. It holds the only
path from a plan to numbers, so every backend gives the same rows.
"""

from __future__ import annotations

import os
import platform
import signal
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from orchestrator.bench.attempt import FAILURES, Stages, failure
from orchestrator.bench.cells import CellBench
from orchestrator.bench.data import BenchData
from orchestrator.bench.models import ModelBench
from orchestrator.config.settings import SweepConfig
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.progress.events import Done, Memory
from orchestrator.records import rows
from orchestrator.records.provenance import check_plugins, check_shared
from orchestrator.store.files import CannotWrite
from orchestrator.store.store import Store
from tasks.networks.weight_files import NOTHING_READ, Digests, check_digests, take_digests
from tasks.registry import import_plugins
from tasks.runtime.costs import memory_in_use
from tasks.runtime.time_limit import TimeLimit


class Workbench:
    """Computes stages and cells of one plan on one device.

    Args:
        plan: the whole plan of the sweep.
        store: where finished work is found and written.
        share: part of its device that is this process's, in (0, 1].
    """

    @classmethod
    def at(
        cls, config: SweepConfig, root: str, digests: Digests = NOTHING_READ, *, share: float = 1.0
    ) -> Workbench:
        """The workbench of a worker; see `plan_of_worker`.

        Raises:
            AuditError: as of `plan_of_worker`; or this machine lacks the device, or the device the precision.
        """
        return cls(*plan_of_worker(config, root, digests), share=share)

    def __init__(self, plan: Plan, store: Store, *, share: float = 1.0) -> None:
        self.plan, self.store = plan, store
        self.stages = Stages(plan, store, share)
        self.data = BenchData(plan, self.stages)
        self.models = ModelBench(plan, store, self.stages, self.data)
        self.measuring = self.cell_bench()
        self._cells = {cell.cell_id: cell for cell in plan.cells}

    def cell_bench(self) -> CellBench:
        """What measures the cells."""
        return CellBench(self.plan, self.store, self.stages, self.data, self.models)

    def make_model(self, model_id: str) -> str | None:
        """Make sure that the model is stored; the reason where it cannot be made."""
        try:
            with self.stages.watched():
                self.models.get(model_id)
        except CannotWrite:
            raise
        except FAILURES as error:  # the reason becomes a row of every cell that needs the model
            found = failure(error)
            return f"{found['error_type']}: {found['error']}"
        return None

    def run_cell(self, cell_id: str, *, run_id: str) -> dict[str, Any]:
        """Measure one cell and write its rows; the `cells` row comes last, so its file means all is there."""
        started = time.perf_counter()
        row = rows.cell_row(self.plan, self._cells[cell_id], run_id=run_id)

        def write(found: dict[str, Any]) -> None:
            row.update(found, seconds=time.perf_counter() - started, finished_at=datetime.now(UTC))
            self.store.write("cells", cell_id, [row])

        try:
            with self.stages.limited(lambda error: write(failure(error))):
                self.stages.with_room(lambda: self.measuring.measure(self._cells[cell_id]))
        except CannotWrite:  # not the fault of the cell
            raise
        except FAILURES as error:  # a cell that fails is a row; the boundary is here
            if isinstance(error, TimeLimit):  # it may have left a model in the middle of something
                self.models.forget()
                self.measuring.forget()
            write(failure(error))
        else:
            write({})
        return row

    def memory(self) -> Memory:
        """What this process holds on its device now."""
        used, total = memory_in_use(self.stages.engine.device)
        machine, device = platform.node(), self.stages.engine.name
        return Memory(machine=machine, process=os.getpid(), device=device, used=used, total=total)

    def done(self, problems: Iterable[str | None], *, since: float) -> Done:
        """What the sweep hears of a unit of work that began at `since` (`time.perf_counter`) and ends now."""
        told = tuple(problem for problem in problems if problem)
        return Done(problems=told, seconds=time.perf_counter() - since, memory=self.memory())


def plan_of_worker(config: SweepConfig, root: str, digests: Digests = NOTHING_READ) -> tuple[Plan, Store]:
    """What a worker needs, which has nothing but the configuration and the root of the results; asks for no device.

    From then on SIGTERM (of a scheduler, of `ray stop`) ends the process at once, so that its work moves on. Ray
    would raise SystemExit, which is indistinguishable from a plug-in that leaves: a failed row.

    Args:
        config: of the sweep.
        root: of the results.
        digests: of files of weights that the driver has read: they are not read here to plan once more.

    Raises:
        AuditError: this machine lacks a plug-in or the data, has another copy of a plug-in or of weights, or does not
            reach the results of the driver.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    store = Store(root)
    check_shared(store)
    import_plugins(config.plugins)
    take_digests(digests)
    plan = make_plan(config, told=False)
    check_digests(digests)
    check_plugins(plan, store)
    return plan, store
