"""Intervals of a mean: their limits for many examples, for answers of 0 and 1, and at the ends of the range."""

import numpy as np
import pytest
from scipy import stats

from tasks.errors import AuditError
from tasks.statistics.intervals import wilson
from tasks.statistics.means import bounded_mean, skewed_mean


@pytest.mark.parametrize("interval", [bounded_mean, skewed_mean])
def test_many_values_have_students_interval(interval):
    x = np.random.default_rng(0).random(20_000)
    expected = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
    assert interval(x) == pytest.approx(expected, abs=1e-5)


def test_columns_are_independent_of_each_other():
    x = np.random.default_rng(1).exponential(size=(50, 2))
    for interval in (lambda v: bounded_mean(v, largest=20.0), skewed_mean):
        low, high = interval(x)
        for k in range(2):
            assert (low[k], high[k]) == pytest.approx(interval(x[:, k]))


def test_a_bound_scales_and_mirrors():
    x = np.random.default_rng(2).beta(0.3, 1, size=40)
    low, high = bounded_mean(x)
    assert bounded_mean(5 * x, largest=5.0) == pytest.approx((5 * low, 5 * high))
    assert bounded_mean(1 - x) == pytest.approx((1 - high, 1 - low))


def test_answers_of_0_and_1_have_about_wilsons_interval():
    x = np.repeat([1.0, 0.0], [70, 130])
    assert bounded_mean(x) == pytest.approx(tuple(map(float, wilson(70, 200))), abs=0.004)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_values_at_an_end_leave_room_for_others(value):
    low, high = bounded_mean(np.full(100, value))
    assert high - low == pytest.approx(stats.t.ppf(0.975, 99) ** 2 / 100, rel=0.15)
    assert value in (low, high)


def test_skewness_moves_the_interval_towards_the_tail():
    x = np.random.default_rng(3).exponential(size=40)
    low, high = skewed_mean(x)
    student = stats.t.interval(0.95, 39, x.mean(), stats.sem(x))
    assert low > student[0]
    assert high > student[1]
    assert skewed_mean(-x) == pytest.approx((-high, -low))


def test_halls_transformation_is_inverted():
    x = np.random.default_rng(4).exponential(size=25)
    n, g = 25, (1 + 10 / 25) * ((x - x.mean()) ** 3).mean() / x.std(ddof=1) ** 3
    for end, quantile in zip(skewed_mean(x), (0.975, 0.025), strict=True):
        t = np.sqrt(n) * (x.mean() - end) / x.std(ddof=1)
        root = 1 / np.sqrt(n)
        moved = t + root * g * t**2 / 3 + root**2 * g**2 * t**3 / 27 + root * g / 6
        assert moved == pytest.approx(stats.t.ppf(quantile, n - 1))


def test_no_values_are_refused():
    with pytest.raises(AuditError, match="at least 1 value"):
        bounded_mean(np.empty(0))
