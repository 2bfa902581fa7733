"""Whether the queue keeps many devices busy: hosts that sleep in place of 64 GPUs.

    python -m tests.benchmarks.queue_utilisation [--hosts 64] [--means 1 5 20] [--seconds 60]

For every mean, cells sleep between a third and five thirds of it, and every host has about `--seconds` of them.
Prints the share of the time that hosts were at work, by the hosts' own clock: from when all of them first were
until the last model was begun. The hosts live in one process, so that one machine can hold them; the dispatcher,
Tune and its trials, a process for each host, are the real ones.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.backends.on_ray import backend  # sets Ray's environment before ray is imported

import ray  # isort: skip

from orchestrator.backends.on_ray.dispatch import Dispatcher, HostPool
from orchestrator.backends.work import Work
from orchestrator.plan.cells import Plan
from orchestrator.store.store import Store
from tests.benchmarks.scale_cells import ATTACKS, large_plan

NAME = "sleeping"
SPREAD = (1 / 3, 5 / 3)


@dataclass(frozen=True)
class Slept:
    """When a cell was at its host."""

    cell_id: str
    began: float
    ended: float


@ray.remote(num_cpus=0, max_concurrency=4096)
class SleepingHosts:
    """All hosts in one process: the dispatcher gives each of them one cell at a time.

    Args:
        seconds: that each cell takes.
    """

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._seconds = seconds
        self._slept: list[Slept] = []

    async def drained(self) -> None:
        """Up."""

    async def check(self) -> None:
        """Nothing is wrong."""

    async def run_cell(self, cell_id: str, run_id: str) -> dict[str, Any]:
        """Sleep."""
        began = time.monotonic()
        await asyncio.sleep(self._seconds[cell_id])
        self._slept.append(Slept(cell_id, began, time.monotonic()))
        return {"status": "finished", "seconds": self._seconds[cell_id]}

    async def slept(self) -> list[Slept]:
        """Every cell so far."""
        return self._slept


def utilisation(slept: list[Slept], models: Mapping[str, str], hosts: int) -> tuple[float, float]:
    """Share of the hosts' time spent in cells, and the seconds over which it was taken.

    From when all hosts are first at work until the last model is begun.
    """
    changes = sorted([(s.began, 1) for s in slept] + [(s.ended, -1) for s in slept])
    first: dict[str, float] = {}
    for each in sorted(slept, key=lambda s: s.began):
        first.setdefault(models[each.cell_id], each.began)
    until, busy, at_work, since, previous = max(first.values()), 0.0, 0, 0.0, 0.0
    for now, change in changes:
        if since and previous < until:
            busy += at_work * (min(now, until) - previous)
        at_work += change
        if at_work == hosts and not since:
            since = now
        previous = now
    span = until - since if since else 0.0
    return (busy / (hosts * span) if span > 0 else float("nan")), span


def durations(plan: Plan, means: list[float], counts: list[int]) -> dict[str, list[tuple[str, float]]]:
    """Seconds of the cells of every model, model by model: `counts` models for each of the means."""
    draw = random.Random(0)
    cells: dict[str, list[str]] = {}
    for cell in plan.cells:
        cells.setdefault(cell.subject.id, []).append(cell.cell_id)
    of_models = [mean for mean, count in zip(means, counts, strict=True) for _ in range(count)]
    pairs = zip(cells.items(), of_models, strict=False)
    return {m: [(c, mean * draw.uniform(*SPREAD)) for c in ids] for (m, ids), mean in pairs}


def measure(hosts: int, means: list[float], seconds: float) -> None:
    """Run the cells of all means, one mean after the other, and print the utilisation of each."""
    counts = [max(2 * hosts, round(hosts * seconds / (ATTACKS * mean))) for mean in means]
    plan = large_plan(ATTACKS * (sum(counts) + ATTACKS))
    timed = durations(plan, means, counts)
    plan = plan.only(cell for pairs in timed.values() for cell, _ in pairs)
    flat = {cell: taken for pairs in timed.values() for cell, taken in pairs}
    actor = SleepingHosts.options(name=NAME).remote(flat)  # type: ignore[attr-defined]
    pool = HostPool(dispatcher=Dispatcher.remote([NAME] * hosts), hosts=(actor,) * hosts)  # type: ignore[attr-defined]
    began, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(
            plan=plan,
            store=Store(f"{folder}/results"),
            run_id="queue",
            models=[],
            shadows=[],
            cells=plan.cells,
            listener=lambda event: None,
            stop=threading.Event(),
        )
        backend.measure(work, pool, Path(folder))
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    slept: list[Slept] = ray.get(actor.slept.remote())
    models = {cell: model for model, pairs in timed.items() for cell, _ in pairs}
    order = list(timed)
    print(
        f"{hosts} hosts, {len(slept)} cells of {len(order)} models in {wall:.0f} s, driver {cpu:.1f} s of CPU"
    )
    for index, mean in enumerate(means):
        own = set(order[sum(counts[:index]) : sum(counts[: index + 1])])
        found = [s for s in slept if models[s.cell_id] in own]
        share, span = utilisation(found, models, hosts)
        print(f"  cells of {mean:g} s: utilisation {share:.1%} over {span:.0f} s ({len(found)} cells)")


def main() -> None:
    """Measure on a private Ray."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--means", type=float, nargs="+", default=[1.0, 5.0, 20.0])
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    ray.init(
        address="local",
        log_to_driver=False,
        include_dashboard=False,
        logging_level="ERROR",
        resources={"trial": options.hosts},
    )
    measure(options.hosts, options.means, options.seconds)
    ray.shutdown()


if __name__ == "__main__":
    main()
