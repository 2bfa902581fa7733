"""Largest differences between groups, and sums of absolute differences, against what they are made of."""

import numpy as np
import pytest

from tasks.statistics.absolute import Signed, absolute_sum, sidak
from tasks.statistics.intervals import newcombe, wilson
from tasks.statistics.spread import largest_difference


def test_two_groups_have_newcombes_interval():
    hits, sizes = np.array([90, 60]), np.array([100, 120])
    found = largest_difference(hits / sizes, lambda c: wilson(hits, sizes, confidence=c))
    assert found == pytest.approx(tuple(map(float, newcombe(90, 100, 60, 120))))


def test_the_low_end_holds_for_all_pairs_and_the_high_end_for_one():
    values, error = np.array([0.0, 1.0, 3.0]), 0.5

    def ends(confidence):
        reach = error * {0.95: 1.0}.get(confidence, 2.0)
        assert confidence in (0.95, pytest.approx(1 - 0.05 / 3))
        return values - reach, values + reach

    low, high = largest_difference(values, ends)
    assert low == pytest.approx(3 - 2 * error * np.sqrt(2))
    assert high == pytest.approx(3 + error * np.sqrt(2))


def signed(values, half, half_of_all):
    value = np.array(values)
    return Signed(value, value - half, value + half, value - half_of_all, value + half_of_all)


def test_one_term_is_the_signed_interval_folded():
    assert absolute_sum(signed([-0.3], 0.1, 0.1), groups=[0]) == pytest.approx((0.2, 0.4))
    assert absolute_sum(signed([-0.05], 0.1, 0.1), groups=[0]) == pytest.approx((0.0, 0.15))


def test_terms_that_may_be_zero_count_nothing_towards_the_low_end():
    terms = signed([0.5, 0.11], np.array([0.1, 0.1]), np.array([0.12, 0.12]))
    low, high = absolute_sum(terms, groups=[0, 1])
    assert low == pytest.approx(0.4)
    assert high == pytest.approx(0.61 + 0.1 * np.sqrt(2))


def test_errors_add_in_squares_over_terms_but_within_a_group_as_they_are():
    terms = signed([0.5, -0.4], 0.1, 0.11)
    assert absolute_sum(terms, groups=[0, 1])[0] == pytest.approx(0.9 - 0.1 * np.sqrt(2))
    assert absolute_sum(terms, groups=[0, 0]) == pytest.approx((0.7, 1.1))


def test_a_function_of_each_term_is_summed():
    low, high = absolute_sum(signed([0.5], 0.1, 0.1), groups=[0], of=np.square)
    assert (low, high) == pytest.approx((0.16, 0.36))


def test_sidak():
    assert sidak(0.95, 3) ** 3 == pytest.approx(0.95)
