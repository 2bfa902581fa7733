"""Intervals against closed forms, scipy, definitions, and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.errors import AuditError
from tasks.statistics.intervals import (
    bootstrap_counts,
    bootstrap_mean,
    clopper_pearson,
    delong,
    newcombe,
    newcombe_paired,
    percentiles,
    reflected,
    wilson,
)


@pytest.mark.parametrize(("name", "function"), [("wilson", wilson), ("exact", clopper_pearson)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_proportions_agree_with_scipy(name, function, confidence):
    successes = np.array([0, 1, 7, 19, 20])
    low, high = function(successes, 20, confidence=confidence)
    for s, a, b in zip(successes, low, high, strict=True):
        expected = stats.binomtest(int(s), 20).proportion_ci(confidence, method=name)
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


def test_bootstrap_mean_matches_the_normal_limit_and_its_seed():
    x = np.random.default_rng(2).exponential(size=2000)
    low, high = bootstrap_mean(x, generator=np.random.default_rng(3), count=4000)
    half = 1.96 * x.std() / np.sqrt(len(x))
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.1 * half)
    again = bootstrap_mean(x, generator=np.random.default_rng(3), count=4000)
    assert (low, high) == (again[0], again[1])


def test_bootstrap_mean_resamples_columns_together(monkeypatch):
    monkeypatch.setattr("tasks.statistics.intervals._CHUNK", 500)  # several chunks
    x = np.random.default_rng(4).normal(size=100)
    low, high = bootstrap_mean(np.stack([x, -x], axis=1), generator=np.random.default_rng(5), count=99)
    assert low[0] == pytest.approx(-high[1])
    assert high[0] == pytest.approx(-low[1])


def test_bootstrap_counts_have_the_multinomial_moments():
    counts = np.array([50, 30, 20])
    drawn = bootstrap_counts(counts, generator=np.random.default_rng(6), count=20_000)
    assert (drawn.sum(axis=1) == 100).all()
    np.testing.assert_allclose(drawn.mean(axis=0), counts, atol=0.2)
    np.testing.assert_allclose(drawn.var(axis=0), counts * (1 - counts / 100), rtol=0.05)


def test_reflected_undoes_the_lift_of_a_maximum():
    rng = np.random.default_rng(7)
    held = {"reflected": 0, "percentile": 0}
    for _ in range(200):
        means = rng.normal(size=10) * 0.1 + np.linspace(0, 0.3, 10)
        replicates = np.ptp(means + rng.normal(size=(400, 10)) * 0.1, axis=1)
        low, high = reflected(float(np.ptp(means)), replicates)
        held["reflected"] += low <= 0.3 <= high
        low, high = percentiles(replicates)
        held["percentile"] += low <= 0.3 <= high
    assert held["reflected"] >= 165
    assert held["reflected"] >= held["percentile"] + 40


def brute_auc(score, member):
    a, b = score[member][:, None], score[~member][None]
    return ((a > b) + 0.5 * (a == b)).mean()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
@settings(deadline=None)
def test_auc_counts_ordered_pairs_with_ties_as_half(cases):
    score, member = np.array([c[0] for c in cases]), np.array([c[1] for c in cases])
    if member.all() or not member.any():
        with pytest.raises(AuditError, match="members and non-members"):
            delong(score, member)
        return
    result = delong(score, member)
    assert result.value == pytest.approx(brute_auc(score, member))
    assert 0 <= result.low <= result.value + 1e-12
    assert result.value - 1e-12 <= result.high <= 1


def test_delong_variance_is_its_definition():
    rng = np.random.default_rng(8)
    member = np.arange(50) < 20
    score = np.round(rng.normal(size=50) + member, 1)
    kernel = (score[member][:, None] > score[~member]) + 0.5 * (score[member][:, None] == score[~member])
    expected = np.sqrt(kernel.mean(1).var(ddof=1) / 20 + kernel.mean(0).var(ddof=1) / 30)
    assert delong(score, member).standard_error == pytest.approx(expected)


def test_delong_interval_covers():
    rng = np.random.default_rng(9)
    member = np.arange(120) < 60
    truth = stats.norm.cdf(1 / np.sqrt(2))
    held = []
    for _ in range(800):
        result = delong(rng.normal(size=120) + member, member)
        held.append(result.low <= truth <= result.high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_perfect_separation_keeps_an_honest_interval():
    member = np.arange(60) < 20
    result = delong(member.astype(float), member)
    assert (result.value, result.high) == (1.0, 1.0)
    assert result.low == pytest.approx(0.025 ** (1 / 20))


def test_delong_of_sixty_thousand_examples_needs_no_pair_matrix():
    rng = np.random.default_rng(11)
    member = np.arange(60_000) < 30_000
    assert delong(rng.normal(size=60_000) + member, member).value == pytest.approx(0.760, abs=0.01)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(AuditError, match="0 <= successes <= n"):
        wilson(successes, n)
