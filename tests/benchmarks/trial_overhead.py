"""Milliseconds that Tune adds to a cell that does nothing: Lethe's trials beside Tune's defaults.

    python -m tests.benchmarks.trial_overhead [--cells 500] [--default-trials 20]

Both run in one process, one after the other, on a private local Ray. The default is a function trainable with
one CPU for each trial and Tune's own loggers; ours is what sweeps run, with hosts that answer at once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestrator.backends.on_ray import backend  # sets Ray's environment before ray is imported

import ray  # isort: skip
from ray import tune  # isort: skip

from tests.benchmarks.scale_cells import large_plan, trivial_pool, work_of


def lethe_seconds(cells: int, root: str) -> float:
    """Wall seconds for each of about `cells` trivial cells through the sweep's own Tune set-up."""
    plan = large_plan(cells)
    work = work_of(plan, Path(root), lambda event: None)
    began = time.perf_counter()
    backend.measure(work, trivial_pool(2), Path(root))
    return (time.perf_counter() - began) / len(plan.cells)


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
    ray.init(address="local", log_to_driver=False, include_dashboard=False, resources={"trial": 2})
    with tempfile.TemporaryDirectory() as root:
        ours = 1000 * lethe_seconds(options.cells, root)
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "0"  # Tune as it comes
        theirs = 1000 * default_seconds(options.default_trials, root) / options.default_trials
    ray.shutdown()
    print(f"Lethe         {ours:8.1f} ms per trivial cell ({options.cells} cells, start-up included)")
    print(f"Tune default  {theirs:8.1f} ms per trivial trial ({options.default_trials} trials)")
    print(f"ratio         {theirs / ours:8.1f}")


if __name__ == "__main__":
    main()
