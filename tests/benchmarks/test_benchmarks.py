"""Every benchmark runs to its end at its smallest size, as its own program: no measurement, but no rot either."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALLEST = {
    "claim_power": ("--runs 20 --only claim_order", "nearer by .015"),
    "false_discoveries": ("--sweeps 1 --shadows 16", "worse than before"),
    "language_bases": ("--bases 2 --trainings 2 --people 10", "added by the base"),
    "language_speed": ("--repeats 1 --epochs 1 --corpora people", "models/min"),
    "large_results": ("--shape few", "worse_than_before"),
    "observations_scale": ("--shadows 16 --examples 2500 --epochs 0", "queries of one method"),
    "outputs_memory": (
        "--models 32 --forget-sets 2 --examples 240 --forgotten 20",
        "GiB of outputs",
    ),
    "queue_utilisation": ("--hosts 2 --means 0.2 --seconds 1", "cells of 0.2 s: utilisation"),
    "scale_cells": ("--plan 50 --cells 10 --shadows 16", "ms of driver CPU"),
    "shadow_layout": ("--shadows 4 --epochs 1 --repeats 1", "1 process x 2 threads"),
    "shadow_training": (
        "--models 4 --repeats 1 --batch-sizes 64 --architectures small_mlp",
        "x peers",
    ),
    "store_small_files": ("20", "average, compacted"),
    "trial_overhead": ("--cells 10 --default-trials 1", "ratio"),
    "verdict_power": ("--audits 20", "seeds would show equivalence"),
}
"""Arguments by benchmark, and what the last line that it prints holds."""
DEAR = (
    "language_bases",
    "language_speed",
    "large_results",
    "outputs_memory",
    "queue_utilisation",
    "scale_cells",
    "shadow_layout",
    "trial_overhead",
    "verdict_power",
)
"""They start Ray or several processes, or ask for half a minute."""


def execute(name: str, arguments: str) -> str:
    """Run a benchmark; what it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments.split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_every_benchmark_is_here():
    programs = {p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("test_")}
    assert SMALLEST.keys() == programs


@pytest.mark.parametrize("name", DEAR)
def test_a_dear_benchmark_starts(name):
    assert "usage: " in execute(name, "--help")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in DEAR else []) for name in SMALLEST]
)
def test_a_benchmark_runs_to_its_end(name):
    arguments, last = SMALLEST[name]
    assert last in execute(name, arguments).rstrip().splitlines()[-1]
