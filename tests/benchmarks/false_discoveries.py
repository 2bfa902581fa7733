"""How many single findings over shadow models are false, and how many of the true ones are found. NumPy, CPU.

    python -m tests.benchmarks.false_discoveries [--sweeps 100] [--shadows 16 32 64]

Sweeps of 120 examples at a false-discovery rate of 10 %.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from tasks.attacks.rank_test import RankTest
from tasks.metrics.before_after import Worsening, forgotten, retained
from tasks.metrics.per_example import discoveries
from tasks.shadows.games import compare
from tests.support.shadow_simulation import before_and_after, make_layout, observe

TARGETS = 120


@dataclass(frozen=True)
class Findings:
    """Of single examples, over sweeps."""

    false_share: float
    """Mean share of false ones among what a sweep finds; where nothing is true, how often it finds anything."""
    power: float
    """Mean share of the true ones that it finds."""


def told_apart(sweeps: int, *, shadows: int, true: float, shift: float, spread: float = 1.0) -> Findings:
    """Examples told apart in G2, of which a share `true` differs; two draws of a shadow correlate with .5."""
    real = np.arange(TARGETS) < true * TARGETS
    layout = make_layout(shadows, TARGETS, TARGETS // 4, 2, seed=1)
    found = []
    for seed in range(sweeps):
        observed = observe(
            layout,
            np.random.default_rng([seed, 11]),
            shift=np.where(real, shift, 0.0),
            spread=np.where(real, spread, 1.0),
            correlation=0.5,
        )
        tests = RankTest().tests(compare(observed, "G2"))
        found.append(discoveries(tests.p_value, rate=0.1).discovered)
    return _findings(found, real)


def _findings(found: list[np.ndarray], real: np.ndarray) -> Findings:
    claimed = np.stack(found)
    if not real.any():
        return Findings(float(claimed.any(1).mean()), 0.0)
    false = claimed[:, ~real].sum(1) / np.maximum(claimed.sum(1), 1)
    return Findings(float(false.mean()), float(claimed[:, real].mean()))


def worse_than_before(
    sweeps: int, *, shadows: int, split: str, true: float, level: float, shared: float = 0.7
) -> Findings:
    """Examples worse off than before; a share `true` lies at `level` above the unseen, the others at 2 as before."""
    real = np.arange(TARGETS) < true * TARGETS
    layout = make_layout(shadows, TARGETS, TARGETS // 4, 2, seed=3)
    levels = np.where(real, level, 2.0)
    found = []
    for seed in range(sweeps):
        base, after = before_and_after(
            layout,
            np.random.default_rng([seed, 7]),
            unlearned=levels if split == "forget" else 0.0,
            kept=levels if split == "retain" else 2.0,
            shared=shared,
        )
        ids = layout.pools[0].ids
        worse: Worsening = (forgotten if split == "forget" else retained)(base, after, ids)
        found.append(discoveries(worse.p_value, rate=0.1).discovered)
    return _findings(found, real)


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--shadows", type=int, nargs="+", default=[16, 32, 64])
    asked = parser.parse_args()
    for shadows in asked.shadows:
        for true, shift, spread in ((0.0, 0.0, 1.0), (0.1, 1.5, 1.0), (0.5, 1.5, 1.0), (0.5, 0.0, 3.0)):
            found = told_apart(asked.sweeps, shadows=shadows, true=true, shift=shift, spread=spread)
            print(f"told apart, {shadows} shadows, {true} true, shift {shift}, spread {spread}: {found}")
        for split, true, level in (
            ("forget", 0.0, 2.0),
            ("forget", 0.2, 4.0),
            ("retain", 0.0, 2.0),
            ("retain", 0.2, 1.0),
        ):
            found = worse_than_before(asked.sweeps, shadows=shadows, split=split, true=true, level=level)
            print(
                f"worse than before, {shadows} shadows, {split}, {true} true at {level}: {found}", flush=True
            )


if __name__ == "__main__":
    main()
