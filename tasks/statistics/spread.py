"""Interval of the largest difference between groups: max - min of estimates from independent groups.

Noise lifts a maximum minus a minimum, so the ends come from the differences of all pairs (derived here): the largest
difference is at least every pair's, hence the low end is the highest of the pairs' low ends at a level that holds for
all of them (Bonferroni); it is that of one pair, hence the high end, the highest of the pairs' high ends, needs none.
A pair's interval is that of Newcombe (1998, method 10), from the groups' own (Zou and Donner 2008).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.statistics.intervals import CONFIDENCE, Ends


def largest_difference(
    values: np.ndarray, ends: Callable[[float], Ends], *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of the largest minus the smallest of `K` values.

    Args:
        values: estimate of each group, `K`, at least 2.
        ends: the groups' own intervals at a given confidence, two `K`.
        confidence: of the result.
    """
    pairs = len(values) * (len(values) - 1) / 2
    low, _ = _differences(values, ends(1 - (1 - confidence) / pairs))
    _, high = _differences(values, ends(confidence))
    return max(0.0, float(low.max())), float(high.max())


def _differences(values: np.ndarray, ends: Ends) -> Ends:
    """Ends of every first minus every second, for pairs of two groups."""
    first, second = np.nonzero(~np.eye(len(values), dtype=bool))
    below, above = values - ends[0], ends[1] - values
    middle = values[first] - values[second]
    return middle - np.hypot(below[first], above[second]), middle + np.hypot(above[first], below[second])
