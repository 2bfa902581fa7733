"""Estimates over shadow models, whose observations share models and examples."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
from scipy import optimize, stats

from tasks.attacks.example_epsilon import ExampleEpsilon
from tasks.attacks.lira import ULiRA
from tasks.metrics.before_after import forgotten, retained
from tasks.metrics.example_epsilon import EPSILON_LOWER_BOUND, epsilon_metrics
from tasks.metrics.harm import retain_harm
from tasks.metrics.two_way import Estimate, mean_balanced_accuracy, mean_example_auc, pooled_auc, tpr_at_fpr
from tasks.shadows.games import compare
from tasks.shadows.observations import State
from tasks.statistics.ranks import auc_interval, folded, rank_tests
from tests.benchmarks.coverage.case import Case, Seen, about_their_mean, one_by_one, seen
from tests.support.shadow_simulation import before_and_after, make_layout, observe

FAMILY = "shadows"
FPR = 0.05
layout_of = cache(make_layout)
AGGREGATES = (
    *("auc of pooled scores", "auc of the mean example", "balanced_accuracy of pooled scores"),
    *("tpr_at_fpr of pooled scores", "realised_fpr of pooled scores"),
)
BOUNDS = ("epsilon_lower_bound of the selected example", "epsilon_lower_bound of the median example")


def _of(estimate: Estimate) -> Seen:
    return Seen(estimate.value, *estimate.interval(0.0, 1.0), 0.0)


def _two_way(
    generator: np.random.Generator, *, shadows: int, targets: int, shift: float, model_effect: float
) -> dict[str, Seen]:
    """Two draws of a shadow correlate with .5; each shadow model may move all its examples alike."""
    layout = layout_of(shadows, targets, targets // 4, 2, seed=shadows)
    observed = observe(layout, generator, shift=shift, correlation=0.5)
    effect = model_effect * generator.normal(size=shadows)
    observed = replace(observed, phi=(observed.phi + effect[observed.shadow][:, None]).astype(np.float32))
    scores = ULiRA().score(compare(observed, "G2", min_shadows=2))
    point = tpr_at_fpr(scores, FPR)
    found = (
        *(pooled_auc(scores), mean_example_auc(scores), mean_balanced_accuracy(scores)),
        *(point.tpr, point.realised_fpr),
    )
    return dict(zip(AGGREGATES, map(_of, found), strict=True))


def _auc_of_phi(
    generator: np.random.Generator, runs: int, *, sides: tuple[int, int], shift: float, spread: float
) -> dict[str, Seen]:
    """Of single examples: one value a shadow model, normal (`shift`, `spread`) against (0, 1)."""
    m, n = sides
    member = np.arange(m + n) < m
    phi = (
        generator.normal(size=(m + n, runs)) * np.where(member, spread, 1.0)[:, None]
        + shift * member[:, None]
    )
    label = np.repeat(member[:, None], runs, axis=1).astype(np.int8)
    tests = rank_tests(phi, label)
    value = tests.auc
    low, high = auc_interval(tests)
    truth = stats.norm.cdf(shift / np.hypot(1, spread))
    return {
        "auc of phi": Seen(value, low, high, truth),
        "auc of phi, folded": Seen(*folded(value, low, high), max(truth, 1 - truth)),
    }


def _harm(generator: np.random.Generator, *, shadows: int, harm: float, shared: float) -> dict[str, Seen]:
    """Each retained example is harmed by `harm` sd with a chance of a third; retraining harms none."""
    layout = layout_of(shadows, 60, 8, 2, seed=5)
    kept = np.where(generator.random(60) < 1 / 3, 0.8 + harm, 0.8)
    base, after = before_and_after(layout, generator, unlearned=0.0, kept=kept, shared=shared)
    base = replace(base, phi=base.phi - np.where(base.state == State.RETAINED, np.float32(1.2), 0))
    _, other = before_and_after(layout, generator, unlearned=0.0, kept=0.8, shared=0.0)
    row = retain_harm(
        ULiRA(game="G3").score, *(compare(one, "G3") for one in (after.before(base), after, other))
    )
    apart, error, df = row.difference or 0.0, row.difference_error or 0.0, row.difference_df or 1.0
    half = float(stats.t.ppf(0.975, df)) * error
    return {
        "retain_harm_auc_change": seen(row, 0.0),
        "retain_harm_auc_change of its difference to retraining": Seen(
            apart, apart - half, apart + half, 0.0
        ),
    }


def _worse(generator: np.random.Generator, *, shadows: int, level: float, shared: float) -> dict[str, Seen]:
    """Each example, with a chance of a fifth, lies at `level` above the unseen afterwards; others at 2."""
    layout = layout_of(shadows, 60, 15, 2, seed=3)
    levels = np.where(generator.random(60) < 0.2, level, 2.0)
    base, after = before_and_after(layout, generator, unlearned=levels, kept=levels, shared=shared)
    ids = layout.pools[0].ids
    return {
        "share_worse_than_before of forgotten": _of(forgotten(base, after, ids).share()),
        "share_worse_than_before of retained": _of(retained(base, after, ids).share()),
    }


def _epsilon(shift: float, delta: float) -> float:
    """Epsilon of two normal distributions of one variance, `shift` sd apart (Balle and Wang 2018, theorem 8)."""

    def excess(epsilon: float) -> float:
        first, second = stats.norm.cdf(np.array([shift / 2, -shift / 2]) - epsilon / max(shift, 1e-9))
        return float(first - np.exp(epsilon) * second - delta)

    return float(optimize.brentq(excess, 0.0, 50.0)) if excess(0.0) > 0 else 0.0


def _bounds(
    generator: np.random.Generator, *, shadows: int, shift: float, model_effect: float
) -> dict[str, Seen]:
    """Bounds of the example that one half of the pairs chose and of the median one; all are equally exposed."""
    layout = layout_of(shadows, 16, 4, 2, seed=shadows)
    observed = observe(layout, generator, shift=shift, correlation=0.5)
    effect = model_effect * generator.normal(size=shadows)
    observed = replace(observed, phi=(observed.phi + effect[observed.shadow][:, None]).astype(np.float32))
    attack = ExampleEpsilon(game="G2")
    truth = _epsilon(shift / np.hypot(1, model_effect), attack.delta)
    rows = epsilon_metrics(attack.estimate(compare(observed, "G2", min_shadows=2)))
    bounds = [row for row in rows if row.metric == EPSILON_LOWER_BOUND.name]
    return dict(zip(BOUNDS, (seen(row, truth) for row in bounds), strict=True))


CASES = (
    *(
        Case(
            family=FAMILY,
            name=f"{shadows} shadow models, {targets} examples, shift {shift}, models differ by {model_effect}",
            estimates=AGGREGATES,
            simulate=about_their_mean(
                one_by_one(
                    partial(
                        _two_way, shadows=shadows, targets=targets, shift=shift, model_effect=model_effect
                    )
                )
            ),
            fast=40 if (shadows, targets, shift, model_effect) == (16, 8, 3.0, 0.0) else 0,
        )
        for shadows, targets in ((16, 8), (16, 16), (32, 60))
        for shift in (0.0, 0.5, 1.5, 3.0)
        for model_effect in (0.0, 1.0)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"phi of {sides[0]} and {sides[1]} shadow models, shift {shift}, spread {spread} : 1",
            estimates=("auc of phi", "auc of phi, folded"),
            simulate=partial(_auc_of_phi, sides=sides, shift=shift, spread=spread),
            fast=500 if (sides, shift, spread) == ((8, 16), 4.5, 3.0) else 0,
        )
        for sides in ((8, 8), (8, 16), (16, 16), (32, 64))
        for shift, spread in (
            *((0.0, 1.0), (0.3, 1.0), (0.5, 1.0), (1.5, 1.0), (3.0, 1.0)),
            *((0.0, 3.0), (1.5, 3.0), (4.5, 3.0), (0.5, 0.33), (1.5, 0.33)),
        )
    ),
    *(
        Case(
            family=FAMILY,
            name=f"16 examples of {shadows} shadow models, shift {shift}, models differ by {model_effect}",
            estimates=BOUNDS,
            simulate=one_by_one(partial(_bounds, shadows=shadows, shift=shift, model_effect=model_effect)),
        )
        for shadows in (16, 64)
        for shift, model_effect in ((0.0, 0.0), (3.0, 1.0))
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{shadows} shadow models, harm of {harm}, {shared} of the noise as before",
            estimates=(
                "retain_harm_auc_change",
                "retain_harm_auc_change of its difference to retraining",
            ),
            simulate=about_their_mean(one_by_one(partial(_harm, shadows=shadows, harm=harm, shared=shared))),
            fast=20 if (shadows, harm, shared) == (16, 1.5, 0.7) else 0,
        )
        for shadows, shared in ((16, 0.7), (32, 0.7), (32, 0.0))
        for harm in (0.0, 1.5)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{shadows} shadow models, a fifth moved from 2 to {level}, {shared} of the noise as before",
            estimates=("share_worse_than_before of forgotten", "share_worse_than_before of retained"),
            simulate=about_their_mean(
                one_by_one(partial(_worse, shadows=shadows, level=level, shared=shared))
            ),
            fast=20 if (shadows, level, shared) == (32, 2.0, 0.7) else 0,
        )
        for shadows, shared in ((16, 0.7), (32, 0.7), (32, 0.0))
        for level in (2.0, 4.0, 1.0)
    ),
)
WITHOUT = {
    "forgetting_quality": "F of the NeurIPS 2023 competition is a mean of estimates of epsilon that are biased by an "
    "amount that depends on the number of models: it has no interval",
}
"""Estimates of this family for which no coverage can be measured, and why."""
