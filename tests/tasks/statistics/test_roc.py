"""The AUC against its definition; the true-positive rate where the threshold is not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.errors import AuditError
from tasks.statistics.intervals import clopper_pearson
from tasks.statistics.roc import auc_interval, tpr_interval


def brute_auc(score, member):
    a, b = score[member][:, None], score[~member][None]
    return ((a > b) + 0.5 * (a == b)).mean()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
@settings(deadline=None)
def test_auc_counts_ordered_pairs_with_ties_as_half(cases):
    score, member = np.array([c[0] for c in cases]), np.array([c[1] for c in cases])
    if member.all() or not member.any():
        with pytest.raises(AuditError, match="members and non-members"):
            auc_interval(score, member)
        return
    result = auc_interval(score, member)
    assert result.value == pytest.approx(brute_auc(score, member))
    assert 0 <= result.low <= result.value + 1e-12
    assert result.value - 1e-12 <= result.high <= 1
    mirrored = auc_interval(-score, member)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - result.high, 1 - result.low))


def test_many_examples_have_delongs_interval():
    rng = np.random.default_rng(8)
    member = np.arange(4000) < 1500
    score = np.round(rng.normal(size=4000) + member, 1)
    kernel = (score[member][:, None] > score[~member]) + 0.5 * (score[member][:, None] == score[~member])
    error = np.sqrt(kernel.mean(1).var(ddof=1) / 1500 + kernel.mean(0).var(ddof=1) / 2500)
    result = auc_interval(score, member)
    assert (result.high - result.low) / 2 == pytest.approx(1.96 * error, rel=0.02)


@pytest.mark.parametrize("sides", [(20, 40), (36, 360)])
def test_perfect_separation_keeps_an_honest_interval(sides):
    member = np.arange(sum(sides)) < sides[0]
    result = auc_interval(member.astype(float), member)
    assert (result.value, result.high) == (1.0, 1.0)
    assert result.low < 1 - 2 / sides[0]  # about 3 of n may yet be elsewhere


def test_sixty_thousand_examples_need_no_pair_matrix():
    rng = np.random.default_rng(11)
    member = np.arange(60_000) < 30_000
    assert auc_interval(rng.normal(size=60_000) + member, member).value == pytest.approx(0.760, abs=0.01)


def test_where_all_thresholds_give_the_same_hits_the_interval_is_that_of_a_known_one():
    members = np.repeat([100.0, -100.0], [30, 70])
    found = tpr_interval(members, np.random.default_rng(0).normal(size=500), 0.1)
    assert found == pytest.approx(tuple(map(float, clopper_pearson(30, 100))), abs=1e-6)


def test_the_threshold_s_own_error_widens_the_interval():
    rng = np.random.default_rng(1)
    members = rng.normal(1, 1, size=1000)
    few, many = (tpr_interval(members, rng.normal(size=n), 0.05) for n in (100, 50_000))
    known = clopper_pearson(int((members > stats.norm.isf(0.05)).sum()), 1000)
    assert many == pytest.approx(tuple(map(float, known)), abs=0.015)
    assert few[1] - few[0] > 2 * (many[1] - many[0])


def test_a_rate_that_is_about_one_non_member_may_be_zero_hits():
    low, high = tpr_interval(np.linspace(-3, 3, 60), np.linspace(-3, 3.1, 100), 0.001)
    assert low == 0.0
    assert high < 0.2


def test_scores_of_two_values_have_the_interval_of_what_lies_strictly_above():
    members, others = np.repeat([1.0, 0.0], [80, 20]), np.repeat([1.0, 0.0], [30, 70])
    low, high = tpr_interval(members, others, 0.1)
    assert low == 0.0
    assert high == pytest.approx(float(clopper_pearson(0, 100)[1]), abs=1e-3)
