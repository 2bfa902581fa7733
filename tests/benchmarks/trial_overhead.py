"""Milliseconds that Tune adds to a cell that does nothing: Lethe's trainable beside Tune's defaults.

    python tests/benchmarks/trial_overhead.py [--cells 500] [--default-trials 20]

Both run in one process, one after the other, on a private local Ray. The default is a function trainable with
one CPU for each trial and Tune's own loggers; ours is the class that sweeps use, with hosts that answer at once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from typing import Any

import orchestrator.session  # noqa: F401 - sets Ray's environment before ray is imported

import ray  # isort: skip
from ray import tune  # isort: skip

from orchestrator.dispatch import Dispatcher, HostPool
from orchestrator.trials import QUEUE, CellTrial


@ray.remote(num_cpus=0)
class TrivialHost:
    """Answers like a host whose cells cost nothing."""

    def drained(self) -> None:
        """Up."""

    def check(self) -> None:
        """Nothing is wrong."""

    def run_cell(self, cell_id: str, run_id: str) -> dict[str, Any]:
        return {"cell_id": cell_id, "status": "finished", "seconds": 0.0, "error_type": None, "error": None}


def lethe_seconds(cells: int, root: str) -> float:
    """Wall seconds for `cells` trivial cells through the sweep's trainable."""
    names = ["trivial-0", "trivial-1"]
    hosts = [TrivialHost.options(name=name).remote() for name in names]
    pool = HostPool(dispatcher=Dispatcher.remote(names), hosts=tuple(hosts))
    trainable = tune.with_resources(
        tune.with_parameters(CellTrial, pool=pool, run_id="r"), {"cpu": 0, "trial": 1}
    )
    values = [{"model_id": f"{i // 4:08x}", "cells": [f"{i:08x}"]} for i in range(cells)]
    tuner = tune.Tuner(
        trainable,
        param_space={"work": tune.grid_search(values)},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="lethe",
            storage_path=root,
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    began = time.perf_counter()
    results = tuner.fit()
    seconds = time.perf_counter() - began
    assert len(results) == cells
    assert not results.errors
    return seconds


def default_seconds(trials: int, root: str) -> float:
    """Wall seconds for `trials` trivial trials as Tune runs a function by default."""

    def trivial(config: dict[str, Any]) -> None:
        tune.report({"cell": config["cell"]})

    tuner = tune.Tuner(
        trivial,
        param_space={"cell": tune.grid_search(list(range(trials)))},
        run_config=tune.RunConfig(name="default", storage_path=root, verbose=0),
    )
    began = time.perf_counter()
    tuner.fit()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--default-trials", type=int, default=20)
    options = parser.parse_args()
    ray.init(address="local", log_to_driver=False, include_dashboard=False, resources={"trial": 2 * QUEUE})
    with tempfile.TemporaryDirectory() as root:
        ours = 1000 * lethe_seconds(options.cells, root) / options.cells
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0"  # Tune as it comes
        theirs = 1000 * default_seconds(options.default_trials, root) / options.default_trials
    ray.shutdown()
    print(f"Lethe         {ours:8.1f} ms per trivial cell ({options.cells} cells, start-up included)")
    print(f"Tune default  {theirs:8.1f} ms per trivial trial ({options.default_trials} trials)")
    print(f"ratio         {theirs / ours:8.1f}")


if __name__ == "__main__":
    main()
