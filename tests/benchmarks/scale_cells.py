"""How a sweep scales with its cells: the plan of a large grid, and trivial cells through Ray Tune.

    python tests/benchmarks/scale_cells.py [--plan 100000] [--cells 5000] [--fold]

Prints seconds and peak memory of the plan; then, for each tenth of the cells, milliseconds per cell and the
driver's memory, and what Tune's own state took on disk. `--fold` gives every trial a model with all its cells,
as sweeps above `orchestrator.cluster.FOLD_ABOVE` do.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from orchestrator import cluster  # sets Ray's environment before ray is imported

import ray  # isort: skip

from orchestrator.backends import Work
from orchestrator.config import load
from orchestrator.dispatch import Dispatcher, HostPool
from orchestrator.events import Event
from orchestrator.grid import make_plan
from orchestrator.plan import Plan
from orchestrator.store import Store
from tests.orchestrator.sweeps import write_config

ATTACKS = 5


@ray.remote(num_cpus=0)
class TrivialHost:
    """Answers like a host whose cells cost nothing, or sleep."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    def drained(self) -> None:
        """Up."""

    def check(self) -> None:
        """Nothing is wrong."""

    def run_cell(self, cell_id: str, run_id: str) -> dict[str, Any]:
        """Nothing, for a while."""
        time.sleep(self._seconds)
        return {"cell_id": cell_id, "status": "finished", "seconds": self._seconds}


def large_plan(cells: int) -> Plan:
    """A plan with about so many cells: seeds x (2 methods x 2 scopes + 3 references) x 5 attacks."""
    seeds = max(1, round(cells / (7 * ATTACKS)))
    attacks = ["none", "fgsm", "population", "pgd", "apgd"]
    with tempfile.TemporaryDirectory() as folder:
        path = str(write_config(Path(folder)))
        return make_plan(load(path, {"axes.seed": list(range(seeds)), "axes.attack": attacks}))


def trivial_pool(hosts: int, seconds: float = 0.0) -> HostPool:
    """Hosts that only answer."""
    names = [f"trivial-{index}" for index in range(hosts)]
    actors = tuple(TrivialHost.options(name=name).remote(seconds) for name in names)
    return HostPool(dispatcher=Dispatcher.remote(names), hosts=actors)


def resident_mib() -> float:
    """This process's memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Meter:
    """A listener that notes time and memory at every tenth of the cells."""

    def __init__(self, total: int) -> None:
        self._step, self._done, self._last = max(1, total // 10), 0, time.perf_counter()

    def __call__(self, event: Event) -> None:
        """Count a cell."""
        if event.kind != "cell":
            return
        self._done += 1
        if self._done % self._step == 0:
            now = time.perf_counter()
            each = 1000 * (now - self._last) / self._step
            print(
                f"  cells {self._done:>7}  {each:6.1f} ms/cell  driver {resident_mib():6.0f} MiB", flush=True
            )
            self._last = now


def measure(plan: Plan, folder: Path, *, hosts: int) -> None:
    """Run the cells of a plan through the sweep's own Tune set-up."""
    work = Work(
        plan=plan,
        store=Store(str(folder / "results")),
        run_id="scale",
        models=[],
        cells=plan.cells,
        listener=Meter(len(plan.cells)),
        stop=threading.Event(),
    )
    began = time.perf_counter()
    cluster.measure(work, trivial_pool(hosts), folder)
    seconds = time.perf_counter() - began
    state = sum(p.stat().st_size for p in (folder / "tune").glob("*") if p.is_file()) / 2**20
    cells = len(plan.cells)
    print(
        f"  {cells} cells in {seconds:.0f} s: {1000 * seconds / cells:.1f} ms each; Tune's state {state:.1f} MiB"
    )


def main() -> None:
    """Measure the plan, then Tune."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=5_000)
    parser.add_argument("--fold", action="store_true")
    options = parser.parse_args()
    if options.plan:
        before, began = resident_mib(), time.perf_counter()
        plan = large_plan(options.plan)
        seconds, grown = time.perf_counter() - began, resident_mib() - before
        print(f"plan: {len(plan.cells)} cells, {len(plan.models)} models: {seconds:.1f} s, {grown:.0f} MiB")
        del plan
    if options.fold:
        cluster.FOLD_ABOVE = 0
    if options.cells:
        plan = large_plan(options.cells)
        ray.init(
            address="local",
            log_to_driver=False,
            include_dashboard=False,
            logging_level="ERROR",
            resources={"trial": 4},
        )
        with tempfile.TemporaryDirectory() as folder:
            measure(plan, Path(folder), hosts=2)
        ray.shutdown()


if __name__ == "__main__":
    main()
