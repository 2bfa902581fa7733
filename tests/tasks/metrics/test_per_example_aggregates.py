"""Aggregates: the two-way bootstrap covers, binomial intervals do not, rates are realised, grains differ."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from tasks.attacks.lira import ULiRA
from tasks.errors import AuditError
from tasks.metrics import pair_bootstrap as cluster
from tasks.metrics.audit import aggregate
from tasks.metrics.pair_bootstrap import (
    Resamples,
    example_auc_replicates,
    mean_balanced_accuracy,
    mean_example_auc,
    pooled_auc,
    resample,
    tpr_at_fpr,
)
from tasks.metrics.per_example import auc_by_example
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


def test_pooled_auc_with_unit_weights_is_the_usual_one() -> None:
    scores = scored(1, shift=1.0)
    scores.score[:] = np.round(scores.score, 1)
    unit = Resamples(pairs=np.ones((3, 16), int), examples=np.ones((3, 80), int))
    result = pooled_auc(scores, unit)
    inside = scores.label >= 0
    expected = roc_auc_score(scores.label[inside], scores.score[inside])
    assert result.value == pytest.approx(expected)
    assert (result.low, result.high) == pytest.approx((result.value, result.value), rel=1e-12)


def dense_pooled(scores: PerExampleScores, pairs: np.ndarray, examples: np.ndarray) -> float:
    """Every H1 observation against every H0 one, weighted."""
    run, example = np.nonzero(scores.label >= 0)
    value, member = scores.score[run, example], scores.label[run, example] == 1
    weight = (pairs[scores.pair[run]] * examples[example]).astype(float)
    gap = value[member][:, None] - value[~member]
    compared = weight[member][:, None] * weight[~member]
    return float((((gap > 0) + 0.5 * (gap == 0)) * compared).sum() / compared.sum())


@pytest.mark.parametrize("digits", [0, 8])
def test_pooled_resamples_equal_a_dense_computation(digits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact while a bin holds one value; with 64 bins off by half the comparisons in a bin (at most 4 x 1 / 64)."""
    scores = scored(8, shift=1.0, targets=30, draws=2)
    scores.score[:] = np.round(scores.score, digits)
    draws = resample(scores, generator=np.random.default_rng(3), repeats=7)
    expected = [dense_pooled(scores, p, e) for p, e in zip(draws.pairs, draws.examples, strict=True)]

    def replicates() -> np.ndarray:
        code, bins = cluster._quantile_bins(scores)
        sides = [
            cluster._bin_weights(code, scores.label == side, scores.pair, bins, draws) for side in (1, 0)
        ]
        return cluster._auc_of_counts(*sides)

    monkeypatch.setattr(cluster, "REPEAT_BLOCK", 3)
    np.testing.assert_allclose(replicates(), expected, rtol=1e-12)
    monkeypatch.setattr(cluster, "BINS", 64)
    error = np.abs(replicates() - expected).max()
    assert error <= 0.5 * 4 / 64
    assert (error == pytest.approx(0, abs=1e-12)) == (digits == 0)


@pytest.mark.parametrize("draws", [1, 2])
def test_reweighting_equals_repeating(draws: int) -> None:
    scores = scored(2, shift=1.0, draws=draws)
    if draws == 2:  # one draw failed: its pair has fewer runs
        scores.label[5] = -1
    weight = np.zeros((1, 16), int)
    weight[0, [0, 2, 5, 8, 13]] = [1, 3, 2, 1, 1]
    expected = np.full(80, np.nan)
    for x in range(80):
        above = compared = 0.0
        for fold in np.unique(scores.fold):
            rows = np.flatnonzero(scores.fold == fold)
            for i in rows[scores.label[rows, x] == 1]:
                for j in rows[scores.label[rows, x] == 0]:
                    w = weight[0, scores.pair[i]] * weight[0, scores.pair[j]]
                    gap = scores.score[i, x] - scores.score[j, x]
                    above, compared = above + w * ((gap > 0) + 0.5 * (gap == 0)), compared + w
        if compared:
            expected[x] = above / compared
    np.testing.assert_allclose(example_auc_replicates(scores, weight)[0], expected, rtol=1e-5)


def test_unit_weights_give_the_example_auc() -> None:
    scores = scored(3, shift=1.0, draws=2)
    replicate = example_auc_replicates(scores, np.ones((1, 16), int))[0]
    np.testing.assert_allclose(replicate, auc_by_example(scores), rtol=1e-5)


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_bootstrap_intervals_cover_the_truth(shift: float) -> None:
    """25 repetitions of 64 shadows x 60 examples; 95 % must cover at least 21 (P below .01 if exact).

    The truth is the Bayes attacker's; a fitted one with 28 shadows a side loses up to .015 of it.
    """
    auc, accuracy = norm.cdf(shift / np.sqrt(2)), norm.cdf(shift / 2)
    covered = np.zeros(2)
    for seed in range(25):
        scores = scored(100 + seed, shadows=64, targets=60, shift=shift)
        draws = resample(scores, generator=np.random.default_rng(seed), repeats=100)
        for row, (estimate, truth) in enumerate(
            ((mean_example_auc(scores, draws), auc), (mean_balanced_accuracy(scores, draws), accuracy))
        ):
            covered[row] += estimate.low - 0.015 <= truth <= estimate.high + 0.015
    assert (covered >= 21).all()


def test_a_binomial_interval_on_pooled_counts_is_too_narrow() -> None:
    """Shadows that differ as a whole: each run's decisions share a coin; 40 repetitions of 32 runs x 100.

    The truth is .5. Clopper-Pearson on 3,200 decisions covers rarely, the pair bootstrap mostly.
    """
    covered = np.zeros(2)
    for seed in range(40):
        generator = np.random.default_rng(seed)
        label = np.tile((np.arange(32) % 2)[:, None], (1, 100))
        score = generator.normal(size=(32, 1)) + 0.5 * generator.normal(size=(32, 100))
        scores = raw_scores(score, label)
        draws = resample(scores, generator=generator, repeats=100)
        estimate = mean_balanced_accuracy(scores, draws)
        low, high = clopper_pearson(round(estimate.value * 3200), 3200)
        covered += [low <= 0.5 <= high, estimate.low <= 0.5 <= estimate.high]
    assert covered[0] < 20
    assert covered[1] >= 33


def test_thresholds_come_from_other_shadows_and_the_rate_is_realised() -> None:
    scores = scored(5, shadows=64, targets=200, shift=2.0)
    draws = resample(scores, generator=np.random.default_rng(0), repeats=60)
    point = tpr_at_fpr(scores, 0.05, draws)
    assert point.realised_fpr.value == pytest.approx(0.05, abs=0.02)
    assert point.realised_fpr.low <= 0.05 <= point.realised_fpr.high
    assert point.tpr.value == pytest.approx(norm.sf(norm.isf(0.05) - 2), abs=0.08)


def test_a_rate_below_the_resolution_is_refused() -> None:
    """Trap 9: 400 negatives cannot show 0.1 %."""
    generator = np.random.default_rng(0)
    label = np.tile((np.arange(40) % 2)[:, None], (1, 20))
    scores = raw_scores(generator.normal(size=(40, 20)), label)
    draws = resample(scores, generator=generator, repeats=5)
    with pytest.raises(AuditError, match="more than 1000 negatives"):
        tpr_at_fpr(scores, 0.001, draws)


def test_both_grains_are_reported_and_differ() -> None:
    """Trap 7: raw phi separates every example perfectly, yet mixes difficulties when pooled."""
    generator = np.random.default_rng(1)
    label = np.tile((np.arange(32) % 2)[:, None], (1, 60))
    scores = raw_scores(
        label + 10 * generator.normal(size=60) + 0.1 * generator.random((32, 60)), label, None
    )
    rows = {(m.metric, m.variant): m for m in aggregate(scores, fprs=(), repeats=20)}
    assert rows["auc", "raw:example_mean"].value == 1.0
    assert rows["auc", "raw:pooled"].value < 0.6


def test_rows_name_game_grain_and_rate_and_carry_intervals() -> None:
    rows = aggregate(scored(6, shift=1.0), fprs=(0.01, 1e-6), repeats=20)
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


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = scored(7, shift=1.0)
    assert aggregate(scores, fprs=(), repeats=20) == aggregate(scores, fprs=(), repeats=20)
    assert aggregate(scores, fprs=(), repeats=20) != aggregate(scores, fprs=(), repeats=20, seed=1)


@pytest.mark.slow
def test_bootstrap_coverage_is_nominal_or_above() -> None:
    """200 repetitions of the null, 64 shadows x 60 examples: at least 95 % less three standard errors."""
    covered = 0
    for seed in range(200):
        scores = scored(1000 + seed, shadows=64, targets=60)
        draws = resample(scores, generator=np.random.default_rng(seed), repeats=200)
        estimate = mean_example_auc(scores, draws)
        covered += estimate.low <= 0.5 <= estimate.high
    assert covered / 200 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)
