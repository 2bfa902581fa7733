"""How often the intervals of aggregates over shadow models hold the truth, and how many single findings are false.

python -m tests.benchmarks.per_example_coverage
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from tasks.attacks.lira import ULiRA
from tasks.attacks.rank_test import RankTest
from tasks.metrics.before_after import Worsening, forgotten, retained
from tasks.metrics.harm import retain_harm
from tasks.metrics.per_example import discoveries
from tasks.metrics.two_way import mean_balanced_accuracy, mean_example_auc, pooled_auc
from tasks.shadows.games import compare
from tasks.shadows.layout import ShadowLayout
from tasks.shadows.observations import Observations, State
from tests.support.shadow_simulation import make_layout, observe

ESTIMATES = {
    "pooled_auc": pooled_auc,
    "mean_example_auc": mean_example_auc,
    "mean_balanced_accuracy": mean_balanced_accuracy,
}
TARGETS = 120


def shaken(observed: Observations, generator: np.random.Generator, spread: float) -> Observations:
    """With an effect of each shadow model on all its examples."""
    effect = spread * generator.normal(size=observed.shadow.max() + 1)
    return replace(observed, phi=(observed.phi + effect[observed.shadow][:, None]).astype(np.float32))


def two_way_coverage(
    sweeps: int, *, shadows: int, targets: int, shift: float, run_effect: float = 0.0
) -> dict[str, int]:
    """How many of the sweeps' intervals hold the mean over all of them, of each aggregate; one half under the null."""
    values, ends = defaultdict(list), defaultdict(list)
    layout = make_layout(shadows, targets, targets // 4, 2, seed=shadows)
    for seed in range(sweeps):
        generator = np.random.default_rng([seed, shadows])
        observed = shaken(observe(layout, generator, shift=shift, correlation=0.5), generator, run_effect)
        scores = ULiRA().score(compare(observed, "G2", min_shadows=2))
        for name, measure in ESTIMATES.items():
            estimate = measure(scores)
            values[name].append(estimate.value)
            ends[name].append(estimate.interval(0.0, 1.0))
    truth = {name: 0.5 if shift == 0 else float(np.mean(found)) for name, found in values.items()}
    return {name: sum(low <= truth[name] <= high for low, high in ends[name]) for name in values}


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


def before_and_after(
    layout: ShadowLayout,
    generator: np.random.Generator,
    *,
    unlearned: float | np.ndarray,
    kept: float | np.ndarray,
    shared: float,
) -> tuple[Observations, Observations]:
    """Base models, in which members lie 2 above the unseen, and unlearned ones with a part of the noise in common."""
    base = observe(layout, generator, base=True, retained=2.0, method="none")
    after = observe(layout, generator, shift=unlearned, retained=kept, correlation=0.5)
    calm = observe(layout, np.random.default_rng(0), base=True, retained=2.0, spread=0.0, never_spread=0.0)
    level = observe(
        layout, np.random.default_rng(0), shift=unlearned, retained=kept, spread=0.0, never_spread=0.0
    )
    noise = np.sqrt(shared) * (base.phi - calm.phi)[after.shadow] + np.sqrt(1 - shared) * (
        after.phi - level.phi
    )
    return base, replace(after, phi=(level.phi + noise).astype(np.float32))


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


def harm_coverage(sweeps: int, *, shadows: int, harm: float, shared: float) -> dict[str, float]:
    """Of the change of the AUC of retained examples, a third of which is harmed by `harm` sd, and its difference to
    retraining: how often each holds the mean over sweeps, and how often it is seen."""
    layout = make_layout(shadows, 60, 8, 2, seed=5)
    kept = np.where(np.arange(60) < 20, 0.8 + harm, 0.8)
    rows = []
    for seed in range(sweeps):
        generator = np.random.default_rng([seed, 1])
        base, after = before_and_after(layout, generator, unlearned=0.0, kept=kept, shared=shared)
        base = replace(base, phi=base.phi - np.where(base.state == State.RETAINED, np.float32(1.2), 0))
        _, other = before_and_after(layout, generator, unlearned=0.0, kept=0.8, shared=0.0)
        found = retain_harm(
            ULiRA(game="G3").score, *(compare(o, "G3") for o in (after.before(base), after, other))
        )
        rows.append((found.value, found.ci_low, found.ci_high, found.difference, found.difference_error))
    value, low, high, apart, error = np.array(rows, dtype=float).T
    from scipy import stats

    half = error * stats.t.ppf(0.975, max(2, min(8, shadows // 4)) - 1)
    return {
        "covered": float(((low <= value.mean()) & (value.mean() <= high)).mean()),
        "seen": float((low > 0).mean()),
        "difference_covered": float((np.abs(apart - apart.mean()) <= half).mean()),
        "difference_seen": float((apart > half).mean()),
    }


def main() -> None:
    """Print a line for each case."""
    out = sys.stdout.write
    for shadows in (16, 32, 64):
        for targets in (8, 60):
            for shift in (0.0, 0.5, 1.5):
                covered = two_way_coverage(200, shadows=shadows, targets=targets, shift=shift, run_effect=1.0)
                shares = ", ".join(f"{name} {count / 200:.3f}" for name, count in covered.items())
                out(f"{shadows} shadows, {targets} examples, shift {shift}: {shares}\n")
        for true, shift, spread in ((0.0, 0.0, 1.0), (0.1, 1.5, 1.0), (0.5, 1.5, 1.0), (0.5, 0.0, 3.0)):
            out(f"told apart, {shadows}, {true}, shift {shift}, spread {spread}: ")
            out(f"{told_apart(100, shadows=shadows, true=true, shift=shift, spread=spread)}\n")
        for split, true, level in (
            ("forget", 0.0, 2.0),
            ("forget", 0.2, 4.0),
            ("retain", 0.0, 2.0),
            ("retain", 0.2, 1.0),
        ):
            found = worse_than_before(60, shadows=shadows, split=split, true=true, level=level)
            out(f"worse than before, {shadows}, {split}, {true} at {level}: {found}\n")
        for shared in (0.0, 0.7):
            for harm in (0.0, 1.5):
                out(f"harm, {shadows}, {harm}, {shared} shared: ")
                out(f"{harm_coverage(100, shadows=shadows, harm=harm, shared=shared)}\n")


if __name__ == "__main__":
    main()
