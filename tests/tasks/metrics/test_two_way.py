"""Aggregates over shadow models and examples: their errors cover, binomial ones do not; differences are paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tasks.attacks.lira import ULiRA
from tasks.errors import AuditError
from tasks.metrics.audit import aggregate
from tasks.metrics.per_example import auc_by_example
from tasks.metrics.two_way import (
    Estimate,
    by_pair,
    mean_balanced_accuracy,
    mean_example_auc,
    pooled_auc,
    tpr_at_fpr,
)
from tasks.shadows.games import PerExampleScores, compare
from tasks.statistics.intervals import clopper_pearson
from tests.support.shadow_simulation import make_layout, observe


def scored(
    seed: int, *, shadows: int = 32, targets: int = 80, shift: float = 0.0, draws: int = 1
) -> PerExampleScores:
    layout = make_layout(shadows, targets, targets // (2 * draws), draws, seed=seed)
    generator = np.random.default_rng(seed)
    return ULiRA().score(compare(observe(layout, generator, shift=shift, correlation=0.5), "G2"))


def raw_scores(score: np.ndarray, label: np.ndarray, threshold: float | None = 0.0) -> PerExampleScores:
    runs, examples = score.shape
    return PerExampleScores(
        statistic="raw",
        game="G2",
        example_ids=np.arange(examples),
        excluded=np.empty(0, int),
        shadow=np.arange(runs),
        draw=np.zeros(runs, int),
        fold=np.arange(runs) // 2,
        label=label.astype(np.int8),
        score=score.astype(np.float32),
        threshold=threshold,
    )


def test_values_are_the_usual_ones_and_deviations_sum_to_nothing() -> None:
    scores = scored(1, shift=1.0, draws=2)
    scores.score[:] = np.round(scores.score, 1)
    inside = scores.label >= 0
    assert pooled_auc(scores).value == pytest.approx(
        roc_auc_score(scores.label[inside], scores.score[inside])
    )
    assert mean_example_auc(scores).value == pytest.approx(auc_by_example(scores).mean())
    estimates = [pooled_auc(scores), mean_example_auc(scores), mean_balanced_accuracy(scores)]
    point = tpr_at_fpr(scores, 0.05)
    for estimate in (*estimates, point.realised_fpr):
        assert estimate.deviation.sum() == pytest.approx(0, abs=1e-9)
        assert estimate.deviation.shape == (len(estimate.units), len(estimate.example_ids))
    assert [estimate.df for estimate in estimates] == [15, 7, 15]


def test_the_variance_is_that_of_cameron_gelbach_and_miller_by_hand() -> None:
    deviation = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, -2.0]])
    estimate = Estimate(
        value=0.5, n=6, units=np.arange(2), example_ids=np.arange(3), deviation=deviation / 10
    )
    by_unit, by_example, by_cell = 2 * (9 + 9), 1.5 * (1 + 1 + 4), 1 + 4 + 1 + 4
    assert estimate.error == pytest.approx(np.sqrt(max(by_unit + by_example - by_cell, by_unit)) / 10)


def test_the_interval_is_wilsons_with_students_t_within_the_range() -> None:
    """Of 200 decisions of as many units, one of which is wrong: neither end is where Student's t would have it."""
    units, share = 200, 0.995
    deviation = (np.arange(units) > 0).astype(float)[:, None] / units - share / units
    estimate = Estimate(
        value=share, n=units, units=np.arange(units), example_ids=np.arange(1), deviation=deviation
    )
    observations = share * (1 - share) / estimate.error**2
    with_normal = stats.binomtest(199, 200).proportion_ci(method="wilson")
    square = stats.t.ppf(0.975, 199) ** 2
    for end in estimate.interval(0.0, 1.0):
        assert observations * (share - end) ** 2 == pytest.approx(square * end * (1 - end))
    assert estimate.interval(0.0, 1.0) == pytest.approx(with_normal, abs=1e-3)
    wide = [end / 2 for end in estimate.interval(0.0, 2.0)]
    assert wide[0] < estimate.interval(0.0, 1.0)[0] < estimate.interval(0.0, 1.0)[1] < 1


def test_at_a_limit_the_interval_is_the_exact_one_of_the_units() -> None:
    label = np.tile((np.arange(32) % 2)[:, None], (1, 9))
    perfect = pooled_auc(raw_scores(label + 0.0, label))
    assert (perfect.value, perfect.error) == (1.0, 0.0)
    assert perfect.interval(0.0, 1.0) == pytest.approx((float(clopper_pearson(16, 16)[0]), 1.0))


def test_a_binomial_interval_on_pooled_counts_is_too_narrow() -> None:
    """Shadows that differ as a whole: each run's decisions share a coin; 40 repetitions of 32 runs x 100.

    The truth is .5. Clopper-Pearson on 3,200 decisions covers rarely, the two-way error mostly.
    """
    covered = np.zeros(2)
    for seed in range(40):
        generator = np.random.default_rng(seed)
        label = np.tile((np.arange(32) % 2)[:, None], (1, 100))
        score = generator.normal(size=(32, 1)) + 0.5 * generator.normal(size=(32, 100))
        estimate = mean_balanced_accuracy(raw_scores(score, label))
        low, high = clopper_pearson(round(estimate.value * 3200), 3200)
        ends = estimate.interval(0.0, 1.0)
        covered += [low <= 0.5 <= high, ends[0] <= 0.5 <= ends[1]]
    assert covered[0] < 20
    assert covered[1] >= 33


def test_what_two_models_share_leaves_their_difference() -> None:
    """A shadow effect of 1 in both: the paired error is a fraction of the independent one, and 0 against itself."""
    layout, generator = make_layout(32, 60, 30), np.random.default_rng(9)
    first = observe(layout, generator, shift=1.0)
    noise = generator.normal(size=first.phi.shape)
    second = replace(first, phi=(first.phi + 0.2 * noise).astype(np.float32))
    ours, theirs = (pooled_auc(ULiRA().score(compare(o, "G2"))) for o in (first, second))
    apart = ours.minus(theirs)
    assert apart is not None
    assert apart.value == pytest.approx(ours.value - theirs.value)
    assert apart.error < 0.4 * np.hypot(ours.error, theirs.error)
    itself = ours.minus(ours)
    assert itself is not None
    assert itself.error == 0
    others = pooled_auc(ULiRA().score(compare(first.of_half(0), "G2")))
    assert ours.minus(others) is None
    rows = {r.variant: r for r in aggregate(*(ULiRA().score(compare(o, "G2")) for o in (first, second)))}
    row = rows["u_lira_online:pooled"]
    alone = aggregate(ULiRA().score(compare(first, "G2")))
    assert {(r.difference, r.difference_error, r.difference_df) for r in alone} == {(None, None, None)}
    assert row.difference is not None


def test_examples_of_one_side_alone_keep_their_share_of_the_error() -> None:
    deviation = np.array([[0.1, -0.1, 0.2], [-0.1, 0.1, -0.2]])
    shadow = np.array([0, 2])
    ours = by_pair(0.6, deviation, shadow=shadow, example_ids=np.array([1, 2, 5]), n=6)
    theirs = by_pair(0.5, deviation[:, :2], shadow=shadow, example_ids=np.array([2, 7]), n=4)
    apart = ours.minus(theirs)
    assert apart is not None
    assert apart.example_ids.tolist() == [1, 2, 5, 7]
    np.testing.assert_allclose(apart.deviation[0], [0.1, -0.2, 0.2, 0.1])


def test_thresholds_come_from_other_shadows_and_the_rate_is_realised() -> None:
    scores = scored(5, shadows=64, targets=200, shift=2.0)
    point = tpr_at_fpr(scores, 0.05)
    realised, truth = point.realised_fpr.interval(0, 1), norm_power(0.05, 2.0)
    assert point.realised_fpr.value == pytest.approx(0.05, abs=0.02)
    assert realised[0] <= 0.05 <= realised[1]
    assert point.tpr.value == pytest.approx(truth, abs=0.08)
    members = scores.label == 1
    alone = by_pair(
        point.tpr.value,
        np.where(members, (scores.score > 0) - (scores.score > 0)[members].mean(), 0.0) / members.sum(),
        shadow=scores.shadow,
        example_ids=scores.example_ids,
        n=1,
    )
    assert point.tpr.error > 1.2 * alone.error  # that of the thresholds is in it


def norm_power(fpr: float, shift: float) -> float:
    return float(stats.norm.sf(stats.norm.isf(fpr) - shift))


def test_a_rate_below_the_resolution_is_refused() -> None:
    """Trap 9: 400 negatives cannot show 0.1 %."""
    generator = np.random.default_rng(0)
    label = np.tile((np.arange(40) % 2)[:, None], (1, 20))
    with pytest.raises(AuditError, match="more than 1000 negatives"):
        tpr_at_fpr(raw_scores(generator.normal(size=(40, 20)), label), 0.001)


def test_both_grains_are_reported_and_differ() -> None:
    """Trap 7: raw phi separates every example perfectly, yet mixes difficulties when pooled."""
    generator = np.random.default_rng(1)
    label = np.tile((np.arange(32) % 2)[:, None], (1, 60))
    scores = raw_scores(
        label + 10 * generator.normal(size=60) + 0.1 * generator.random((32, 60)), label, None
    )
    rows = {(m.metric, m.variant): m for m in aggregate(scores, fprs=())}
    assert rows["auc", "raw:example_mean"].value == 1.0
    assert rows["auc", "raw:pooled"].value < 0.6


def test_rows_name_game_grain_and_rate_and_carry_intervals() -> None:
    rows = aggregate(scored(6, shift=1.0), fprs=(0.01, 1e-6))
    assert {m.game for m in rows} == {"G2"}
    assert {m.split for m in rows} == {"forget"}
    assert {m.param for m in rows if m.metric == "tpr_at_fpr"} == {0.01}
    assert {m.param for m in rows if m.metric == "realised_fpr"} == {0.01}
    for row in rows:
        if not row.metric.startswith("examples_"):
            assert row.ci_low is not None
            assert row.ci_high is not None
            assert row.ci_low <= row.value <= row.ci_high
    counts = {m.metric: m.value for m in rows if m.metric.startswith("examples_")}
    assert counts == {"examples_tested": 80.0, "examples_excluded": 0.0}
