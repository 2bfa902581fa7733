"""Intervals of proportions against closed forms, scipy, published numbers, and enumerated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.errors import AuditError
from tasks.statistics.intervals import (
    clopper_pearson,
    newcombe,
    newcombe_paired,
    wilson,
)


@pytest.mark.parametrize(("name", "function", "few"), [("wilson", wilson, 10), ("exact", clopper_pearson, 0)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_proportions_agree_with_scipy(name, function, few, confidence):
    successes = np.array([0, few + 1, 43, 59 - few, 60])
    low, high = function(successes, 60, confidence=confidence)
    for s, a, b in zip(successes, low, high, strict=True):
        expected = stats.binomtest(int(s), 60).proportion_ci(confidence, method=name)
        assert (a, b) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_proportion_intervals_hold_the_estimate(case):
    s, n = case
    for function in (wilson, clopper_pearson):
        low, high = function(s, n)
        assert 0 <= low <= s / n <= high <= 1


def test_clopper_pearson_covers_by_exact_enumeration():
    n, s = 25, np.arange(26)
    low, high = clopper_pearson(s, n)
    for p in np.linspace(0.02, 0.98, 49):
        assert stats.binom.pmf(s, n, p)[(low <= p) & (p <= high)].sum() >= 0.95


def test_few_hits_have_the_poisson_limit_of_one_side():
    # Brown, Cai and DasGupta 2001: -log(.95) / n for one hit; mirrored for one miss
    low, _ = wilson(1, 500)
    _, high = wilson(499, 500)
    assert (float(low), float(1 - high)) == pytest.approx((-np.log(0.95) / 500,) * 2)
    assert wilson([2, 3], 500)[0] == pytest.approx([0.3554 / 500, 0.8177 / 500], rel=1e-3)


@pytest.mark.parametrize("n", [12, 36, 120, 1000])
def test_wilson_covers_any_share_by_exact_enumeration(n):
    shares = np.concatenate([np.geomspace(1e-3 / n, 0.05, 300), np.linspace(0.05, 0.5, 100)])
    low, high = wilson(np.arange(n + 1), n)
    first = np.searchsorted(high, shares, side="left")
    last = np.searchsorted(low, shares, side="right") - 1
    assert (stats.binom.cdf(last, n, shares) - stats.binom.cdf(first - 1, n, shares)).min() >= 0.927


def test_newcombe_published_example():
    # Newcombe 1998a, table II, method 10: 56/70 - 48/80
    low, high = newcombe(56, 70, 48, 80)
    assert (float(low), float(high)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_newcombe_covers_by_exact_enumeration():
    m, n, p, q = 30, 40, 0.3, 0.6
    a, b = np.meshgrid(np.arange(m + 1), np.arange(n + 1), indexing="ij")
    low, high = newcombe(a, m, b, n)
    weight = stats.binom.pmf(a, m, p) * stats.binom.pmf(b, n, q)
    assert weight[(low <= p - q) & (p - q <= high)].sum() == pytest.approx(0.95, abs=0.02)


def paired_sample(counts):
    both, first, second, neither = counts
    a = np.repeat([True, True, False, False], [both, first, second, neither])
    return a, np.repeat([True, False, True, False], [both, first, second, neither])


def test_newcombe_paired_covers_and_uses_the_pairing():
    rng = np.random.default_rng(0)
    p = np.array([0.7, 0.12, 0.05, 0.13])
    hits, widths = [], []
    for counts in rng.multinomial(120, p, size=1500):
        low, high = newcombe_paired(*paired_sample(counts))
        hits.append(low <= p[1] - p[2] <= high)
        widths.append(high - low)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.02)
    independent = np.subtract(*reversed(newcombe(98, 120, 90, 120)))
    assert np.mean(widths) < 0.75 * independent


def test_newcombe_paired_is_antisymmetric_and_open_where_nothing_differs():
    a, b = paired_sample([40, 9, 4, 11])
    low, high = newcombe_paired(a, b)
    assert newcombe_paired(b, a) == pytest.approx((-high, -low))
    same_low, same_high = newcombe_paired(np.ones(50, bool), np.ones(50, bool))
    assert same_low < 0 < same_high


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(AuditError, match="0 <= successes <= n"):
        wilson(successes, n)
