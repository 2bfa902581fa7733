"""Whether the queue keeps many devices busy: hosts that sleep in place of 64 GPUs.

    python tests/benchmarks/queue_utilisation.py [--hosts 64] [--seconds 2.0] [--cells-per-host 10]

Prints the share of the time between the first and the last cell in which the hosts were at work. The hosts are
threads' worth of sleep, so one machine can hold all 64; the trials, the dispatcher and Tune are the real ones.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from orchestrator import cluster  # sets Ray's environment before ray is imported

import ray  # isort: skip

from orchestrator.backends import Work
from orchestrator.events import Event
from orchestrator.store import Store
from orchestrator.trials import QUEUE
from tests.benchmarks.scale_cells import large_plan, trivial_pool


def main() -> None:
    """Run sleeping cells and print the utilisation."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--cells-per-host", type=int, default=10)
    options = parser.parse_args()
    plan = large_plan(options.hosts * options.cells_per_host)
    times: list[float] = []

    def listen(event: Event) -> None:
        if event.kind == "cell":
            times.append(time.perf_counter())

    ray.init(
        address="local",
        log_to_driver=False,
        include_dashboard=False,
        logging_level="ERROR",
        resources={"trial": QUEUE * options.hosts},
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Work(
            plan=plan,
            store=Store(f"{folder}/results"),
            run_id="queue",
            models=[],
            cells=plan.cells,
            listener=listen,
            stop=threading.Event(),
        )
        cluster.measure(work, trivial_pool(options.hosts, options.seconds), Path(folder))
    ray.shutdown()
    steady = times[len(times) // 4 : -2 * options.hosts] or times
    span = steady[-1] - steady[0]
    busy = (len(steady) - 1) * options.seconds / (span * options.hosts)
    whole = len(times) * options.seconds / ((times[-1] - times[0] + options.seconds) * options.hosts)
    print(f"{len(times)} cells of {options.seconds} s on {options.hosts} hosts")
    print(f"utilisation {whole:.0%} from first to last cell, {busy:.0%} once every slot has its process")


if __name__ == "__main__":
    main()
