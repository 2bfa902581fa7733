"""How a sweep scales: the plan of a large grid, trivial cells through Ray Tune, trivial tasks of shadow models.

    python -m tests.benchmarks.scale_cells [--plan 100000] [--cells 5000] [--shadows 4096]

Prints seconds and memory of the plan; for each tenth of the cells, milliseconds per cell and the driver's memory,
then what Tune's own state took on disk; for shadow models the driver's time and memory per task. 0 skips a part.
CPU time is the driver's own: on a busy machine the wall says little.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from orchestrator.backends.on_ray import backend  # sets Ray's environment before ray is imported

import ray  # isort: skip

from orchestrator.backends.on_ray import shadow_tasks as shadows
from orchestrator.backends.on_ray.dispatch import Dispatcher, HostPool
from orchestrator.backends.work import Work
from orchestrator.config.settings import SweepConfig, load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.progress.events import Done, Event, Listener
from orchestrator.store.store import Store
from tests.support.shadow_sweeps import TEXT
from tests.support.sweeps import write_config

ATTACKS = 5


@ray.remote(num_cpus=0)
class TrivialHost:
    """Answers like a host whose cells cost nothing."""

    def drained(self) -> None:
        """Up."""

    def check(self) -> None:
        """Nothing is wrong."""

    def run_cell(self, cell_id: str, run_id: str) -> dict[str, Any]:
        """Nothing."""
        return {"cell_id": cell_id, "status": "finished", "seconds": 0.0}


@ray.remote(max_retries=3, max_calls=0, scheduling_strategy="SPREAD")
def run_no_shadows(
    config: SweepConfig, root: str, architecture: str, numbers: list[int], **more: Any
) -> Done:
    """Takes what `shadows.run_shadows` takes and trains nothing."""
    return Done()


def large_plan(cells: int) -> Plan:
    """A plan with about so many cells: seeds x (2 methods x 2 scopes + 3 references) x 5 attacks."""
    seeds = max(1, round(cells / (7 * ATTACKS)))
    attacks = ["none", "fgsm", "population", "pgd", "apgd"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(write_config(Path(folder)))
        return make_plan(load(path, {"axes.seed": list(range(seeds)), "axes.attack": attacks}))


def shadow_plan(num: int) -> Plan:
    """A plan with so many shadow models, each a task of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(write_config(Path(folder), TEXT))
        changes = {"shadows.num": num, "shadows.batch": 1, "shadows.strategy": "loop"}
        return make_plan(load(path, changes))


def work_of(plan: Plan, folder: Path, listener: Listener) -> Work:
    """All cells of a plan and none of its models."""
    return Work(
        plan=plan,
        store=Store(str(folder / "results")),
        run_id="scale",
        models=[],
        shadows=[],
        cells=plan.cells,
        listener=listener,
        stop=threading.Event(),
    )


def trivial_pool(hosts: int) -> HostPool:
    """Hosts that only answer."""
    names = [f"trivial-{index}" for index in range(hosts)]
    actors = tuple(TrivialHost.options(name=name).remote() for name in names)  # type: ignore[attr-defined]
    return HostPool(dispatcher=Dispatcher.remote(names), hosts=actors)  # type: ignore[attr-defined]


def resident_mib() -> float:
    """This process's memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Meter:
    """A listener that prints time and memory at every tenth of the units of one kind.

    Args:
        kind: of the events to count.
        total: units.
    """

    def __init__(self, kind: str, total: int) -> None:
        self._kind, self._step, self._done = kind, max(1, total // 10), 0
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def __call__(self, event: Event) -> None:
        """Count a unit."""
        if event.kind != self._kind:
            return
        self._done += 1
        if self._done % self._step == 0:
            wall, cpu = time.perf_counter(), time.process_time()
            each = [1000 * seconds / self._step for seconds in (wall - self._wall, cpu - self._cpu)]
            print(
                f"  {self._kind}s {self._done:>7}  {each[0]:6.2f} ms each, {each[1]:5.2f} ms of driver CPU,"
                f"  driver {resident_mib():5.0f} MiB",
                flush=True,
            )
            self._wall, self._cpu = wall, cpu


def measure_cells(cells: int) -> None:
    """Run the cells of a plan through the sweep's own Tune set-up."""
    plan = large_plan(cells)
    with tempfile.TemporaryDirectory() as name:
        folder, began = Path(name), time.perf_counter()
        backend.measure(work_of(plan, folder, Meter("cell", len(plan.cells))), trivial_pool(2), folder)
        seconds = time.perf_counter() - began
        paths = list((folder / "tune").rglob("*"))
    count, models = len(plan.cells), len({cell.subject.id for cell in plan.cells})
    print(f"  {count} cells of {models} models in {seconds:.0f} s; Tune left {len(paths)} files and folders")


def measure_shadows(num: int) -> None:
    """Submit the tasks of so many shadow models that train nothing."""
    began, before = time.perf_counter(), resident_mib()
    plan = shadow_plan(num)
    seconds, grown = time.perf_counter() - began, resident_mib() - before
    print(f"plan with {num} shadow models: {seconds:.1f} s, {grown:.0f} MiB")
    shadows.run_shadows = run_no_shadows
    with tempfile.TemporaryDirectory() as name:
        shadows.run_tasks(work_of(plan, Path(name), Meter("shadow", num)), slots=2, options={"num_cpus": 1})


def main() -> None:
    """Measure each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=5_000)
    parser.add_argument("--shadows", type=int, default=4096)
    options = parser.parse_args()
    if options.plan:
        before, began = resident_mib(), time.perf_counter()
        cpu = time.process_time()
        plan = large_plan(options.plan)
        seconds, grown = time.perf_counter() - began, resident_mib() - before
        cpu = time.process_time() - cpu
        print(
            f"plan: {len(plan.cells)} cells, {len(plan.models)} models: {seconds:.1f} s ({cpu:.1f} s of CPU)"
        )
        print(f"  {grown:.0f} MiB more")
        del plan
    if options.cells or options.shadows:
        ray.init(
            address="local",
            log_to_driver=False,
            include_dashboard=False,
            logging_level="ERROR",
            resources={"trial": 2},
        )
        if options.cells:
            measure_cells(options.cells)
        if options.shadows:
            measure_shadows(options.shadows)
        ray.shutdown()


if __name__ == "__main__":
    main()
