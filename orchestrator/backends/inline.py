"""The backend in this process, without Ray."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.backends.work import Work
from orchestrator.progress.events import Event
from orchestrator.progress.units import cell_event, model_event, shadow_events
from orchestrator.records.shadow_batches import runs_left

if TYPE_CHECKING:
    from orchestrator.bench.workbench import Workbench


class InlineBackend:
    """This process, no Ray: debugging, or a machine without Ray."""

    def run(self, work: Work) -> None:
        """See `Backend.run`."""
        with _torch_kept():
            bench = self.workbench(work)
            with bench.stages.in_this_process():
                self._run(work, bench)

    def workbench(self, work: Work) -> Workbench:
        """What computes the work, in this process."""
        from orchestrator.bench.check import check_models
        from orchestrator.bench.workbench import Workbench

        check_models(work.plan)
        return Workbench(work.plan, work.store)

    def _run(self, work: Work, bench: Workbench) -> None:
        work.listener(Event(kind="phase", name="training", total=len(work.models)))
        for spec in work.models:
            if work.stop.is_set():
                return
            started = time.perf_counter()
            problem = bench.make_model(spec.model_id)
            work.listener(model_event(spec, bench.done([problem], since=started)))
        if work.shadows:
            self._shadows(work, bench)
        work.listener(Event(kind="phase", name="cells", total=len(work.cells)))
        for cell in work.cells:
            if work.stop.is_set():
                return
            row = bench.run_cell(cell.cell_id, run_id=work.run_id)
            work.listener(cell_event(cell, row, bench.memory()))

    def _shadows(self, work: Work, bench: Workbench) -> None:
        from orchestrator.bench.shadows import ShadowWorker

        total = sum(len(numbers) for _, numbers in work.shadows)
        parts = runs_left(work.plan, work.store, work.shadows)
        work.listener(Event(kind="phase", name="shadow models", total=total, parts=parts))

        def told() -> None:
            work.listener(Event(kind="part", name="shadow models", parts=1))

        workers = {name: ShadowWorker(bench, name, told) for name in {name for name, _ in work.shadows}}
        for architecture, numbers in work.shadows:
            if work.stop.is_set():
                return
            started = time.perf_counter()
            problems = workers[architecture].run(numbers)
            for event in shadow_events(architecture, numbers, bench.done(problems, since=started)):
                work.listener(event)


@contextlib.contextmanager
def _torch_kept() -> Iterator[None]:
    """Give the process back what a workbench sets in torch: threads, deterministic operations, full float32.

    A notebook goes on with its own work afterwards.
    """
    import torch

    from tasks.runtime.float32 import keeping_float32

    filling: Any = torch.utils.deterministic  # a module whose attribute is a property
    threads, filled = torch.get_num_threads(), filling.fill_uninitialized_memory
    deterministic, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        with keeping_float32():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        filling.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = benchmark
