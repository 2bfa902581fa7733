"""Rank tests against SciPy, enumeration and their own null; the interval of an AUC against the truth."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from tasks.statistics.ranks import (
    auc_interval,
    folded,
    mann_whitney,
    mood,
    rank_tests,
    signed_rank_p,
)


def sides(m: int, n: int, columns: int) -> np.ndarray:
    return np.repeat((np.arange(m + n) < m)[:, None], columns, axis=1).astype(np.int8)


@pytest.mark.parametrize(("m", "n"), [(3, 4), (16, 16), (40, 21), (64, 128)])
def test_the_shift_is_scipys_exact_one_whatever_is_left_out(m: int, n: int) -> None:
    generator = np.random.default_rng(m)
    values, label = generator.normal(size=(m + n + 2, 5)), sides(m, n + 2, 5)
    values[:m] += 0.5
    label[-2:] = -1
    found = rank_tests(values, label)
    for x in range(5):
        ours, theirs = values[:m, x], values[m:-2, x]
        expected = stats.mannwhitneyu(ours, theirs, method="exact")
        assert found.shift[x] == pytest.approx(expected.pvalue, rel=1e-9)
        assert found.auc[x] == pytest.approx(expected.statistic / (m * n))
        if m + n > 100:
            assert found.spread[x] == pytest.approx(stats.mood(ours, theirs).pvalue, rel=1e-9)


def test_the_spread_is_exact_by_enumeration() -> None:
    for total, m in ((9, 4), (10, 3)):
        squared = (np.arange(1, total + 1) - (total + 1) / 2) ** 2
        smallest = (squared - squared.min()) / (2 if total % 2 == 0 else 1)
        sums = np.array([sum(chosen) for chosen in combinations(smallest, m)])
        tail = mood(m, total - m)
        np.testing.assert_allclose(tail, [(sums <= s + 1e-9).mean() for s in range(len(tail))])


@pytest.mark.parametrize("digits", [None, 0])
def test_p_values_hold_their_level_and_ties_only_raise_them(digits: int | None) -> None:
    """20,000 columns of 8 against 16 with nothing to find; four standard errors at .05 and .01."""
    values = np.random.default_rng(1).normal(size=(24, 20_000))
    if digits is not None:
        values = np.round(0.7 * values, digits)
    found = rank_tests(values, sides(8, 16, 20_000))
    for p_value in (found.shift, found.spread, found.p_value):
        for level in (0.05, 0.01):
            assert (p_value <= level).mean() <= level + 4 * np.sqrt(level / 20_000)
    constant = rank_tests(np.zeros((24, 1)), sides(8, 16, 1))
    assert (constant.auc[0], constant.p_value[0]) == (0.5, 1.0)


def test_each_test_sees_what_the_other_does_not() -> None:
    values, label = np.random.default_rng(2).normal(size=(64, 300)), sides(32, 32, 300)
    wide, shifted = values.copy(), values.copy()
    wide[:32] *= 3
    shifted[:32] += 1.5
    assert (rank_tests(wide, label).spread < 0.01).mean() > 0.95
    assert (rank_tests(wide, label).shift < 0.01).mean() < 0.06
    assert (rank_tests(shifted, label).shift < 0.01).mean() > 0.95
    assert (rank_tests(shifted, label).spread < 0.01).mean() < 0.1


def test_signed_ranks_are_scipys_and_leave_out_what_is_absent() -> None:
    values = np.random.default_rng(3).normal(0.3, 1, size=(14, 6))
    present = np.ones(values.shape, dtype=bool)
    present[3, :3] = False
    found = signed_rank_p(values, present)
    for x in range(6):
        expected = stats.wilcoxon(values[present[:, x], x], alternative="greater", method="exact")
        assert found[x] == pytest.approx(expected.pvalue, rel=1e-9)
    nothing = signed_rank_p(np.zeros((14, 2)), present[:, :2])
    assert nothing.tolist() == [1.0, 1.0]
    assert signed_rank_p(values, np.zeros(values.shape, dtype=bool)).tolist() == [1.0] * 6


def test_one_signed_rank_is_a_fair_coin() -> None:
    values = np.array([[2.0, -2.0], [1.0, 1.0]])
    assert signed_rank_p(values, np.array([[True, True], [False, False]])).tolist() == [0.5, 1.0]


def test_ties_count_for_whoever_makes_less_of_the_shift() -> None:
    """Whole numbers of 5 against 6: wins are counted one by one, and ties within a side are no wins."""
    values = np.random.default_rng(6).integers(0, 5, size=(11, 200)).astype(float)
    found = rank_tests(values, sides(5, 6, 200))
    ours, theirs = values[:5, None], values[None, 5:]
    worst, best = (ours > theirs).sum((0, 1)), (ours >= theirs).sum((0, 1))
    least = np.clip(15, worst, best)
    expected = np.minimum(2 * mann_whitney(5, 6)[np.minimum(least, 30 - least)], 1.0)
    np.testing.assert_allclose(found.shift, expected)
    np.testing.assert_allclose(found.auc, (worst + best) / 60)


def test_components_are_the_shares_that_each_value_beats() -> None:
    """Ties, a value left out, and sides of unlike size; Satterthwaite's df as Welch's test has it."""
    values = np.round(np.random.default_rng(4).normal(size=(14, 3)), 1)
    label = sides(5, 9, 3)
    label[6, 0] = -1
    found = rank_tests(values, label)
    for x in range(3):
        high, low = (values[label[:, x] == side, x] for side in (1, 0))
        wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
        error = [part.var(ddof=1) / len(part) for part in (wins.mean(1), wins.mean(0))]
        assert found.auc_error[x] == pytest.approx(np.sqrt(sum(error)))
        welch = stats.ttest_ind(wins.mean(1), wins.mean(0), equal_var=False)
        assert found.auc_df[x] == pytest.approx(welch.df)


def test_unequal_spreads_and_counts_widen_the_interval() -> None:
    """Three times the spread on the smaller side: the counts alone cover .90 of 2,000."""
    values = np.random.default_rng(5).normal(size=(24, 2000))
    values[:8] = 3 * values[:8] - 4.5
    found = rank_tests(values, sides(8, 16, 2000))
    low, high = auc_interval(found)
    truth = stats.norm.cdf(-4.5 / np.sqrt(10))
    covered = int(((low <= truth) & (truth <= high)).sum())
    assert stats.binomtest(covered, 2000, 0.95, alternative="less").pvalue > 0.001


@pytest.mark.parametrize(("m", "n"), [(8, 8), (8, 16), (16, 16), (64, 64)])
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 2.5])
def test_the_interval_of_an_auc_covers_and_folding_keeps_it(m: int, n: int, shift: float) -> None:
    """2,000 columns; the exact binomial test against .94 (nominal .95) at 1 in 1,000."""
    values = np.random.default_rng([m, n]).normal(size=(m + n, 2000))
    values[:m] -= shift
    found = rank_tests(values, sides(m, n, 2000))
    low, high = auc_interval(found)
    truth = stats.norm.cdf(-shift / np.sqrt(2))
    covered = int(((low <= truth) & (truth <= high)).sum())
    assert stats.binomtest(covered, 2000, 0.94, alternative="less").pvalue > 0.001
    value, lowest, highest = folded(found.auc, low, high)
    assert ((lowest <= value) & (value <= highest) & (lowest >= 0.5)).all()
    covered = int(((lowest <= 1 - truth) & (1 - truth <= highest)).sum())
    assert stats.binomtest(covered, 2000, 0.94, alternative="less").pvalue > 0.001
