"""Interval of a sum of absolute differences, or of a function of each, from the intervals of the signed ones.

A sum of absolute values is above 0 even where no difference is. A term counts towards the low end only where its signed
interval, at a level that holds for all terms (Sidak 1967), excludes 0; distances to the ends add in squares over
independent terms (Newcombe 1998; Zou and Donner 2008) and as they are over terms on the same examples. Derived here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Signed(NamedTuple):
    """Signed differences by term, each with its own interval and one that holds for all terms at once; all `T`."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    low_of_all: np.ndarray
    high_of_all: np.ndarray


def sidak(confidence: float, terms: int) -> float:
    """Confidence of each of so many independent intervals that together hold with the one that is given."""
    return float(confidence ** (1 / terms))


def absolute_sum(
    terms: Signed,
    *,
    groups: Sequence[int],
    of: Callable[[np.ndarray], np.ndarray] = lambda sizes: sizes,
) -> tuple[float, float]:
    """Interval of the sum of `of(|difference|)`.

    Args:
        terms: the differences.
        groups: of each term; terms of one group rest on the same examples.
        of: rises from 0 at 0; takes and gives `T`.
    """
    value = np.abs(terms.value)
    far = of(np.maximum(np.abs(terms.low), np.abs(terms.high)))
    near = of(_nearest(terms.low, terms.high))
    surely = _nearest(terms.low_of_all, terms.high_of_all)
    counts = surely > 0
    centre = of(value)
    low = np.where(counts, centre, 0.0).sum() - _root(np.where(counts, centre - near, 0.0), groups)
    high = centre.sum() + _root(far - centre, groups)
    return max(0.0, float(low), float(of(surely).sum())), float(high)


def _nearest(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Distance of each interval from 0."""
    return np.maximum(0.0, np.maximum(low, -high))


def _root(distances: np.ndarray, groups: Sequence[int]) -> float:
    return float(np.linalg.norm(np.bincount(groups, weights=distances)))
