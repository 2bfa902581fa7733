"""Confidence intervals of proportions and of their differences, and percentiles of a bootstrap.

Wilson 1927, for few hits with the ends of Brown, Cai and DasGupta 2001 (Statistical Science 16: 101-133, section
4.1.1); Clopper and Pearson 1934; Newcombe 1998 (Statistics in Medicine 17: 873-890, method 10; and 2635-2650,
method 10, for pairs).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # not stats, which takes a second to import

from tasks.errors import AuditError

Ends = tuple[np.ndarray, np.ndarray]
CONFIDENCE = 0.95
"""Coverage of every interval and bound that Lethe states."""
_FEW = 10
"""Hits (or misses) up to which the Poisson limit may lie beyond Wilson's."""


@cache
def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise AuditError(f"confidence: expected a number in (0, 1), got {confidence}")
    return float(special.ndtri(0.5 + confidence / 2))


@cache
def _poisson_limits(confidence: float) -> np.ndarray:
    """One-sided lower limits of a Poisson mean by its count, from 0 to `_FEW`; then none."""
    limits = special.gammaincinv(np.arange(1, _FEW + 1), 1 - confidence)
    return np.concatenate([[0.0], limits, [np.inf]])


def _counts(successes: ArrayLike, n: ArrayLike) -> Ends:
    s, m = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if np.any(m < 1) or np.any(s < 0) or np.any(s > m):
        raise AuditError("interval of a proportion: expected 0 <= successes <= n and n >= 1")
    return s, m


def wilson(successes: ArrayLike, n: ArrayLike, *, confidence: float = CONFIDENCE) -> Ends:
    """Score interval of a proportion, for arrays of any one shape.

    Near 0 and 1 Wilson's ends lie too far in (coverage .84 at .18 expected hits): where hits (misses) are few, the end
    is the one-sided Poisson limit if that is farther out; coverage is then .928 or more for any share and n.
    """
    s, m = _counts(successes, n)
    z2 = _normal_quantile(confidence) ** 2
    centre = (s + z2 / 2) / (m + z2)
    half = np.sqrt(z2 * (s * (m - s) / m + z2 / 4)) / (m + z2)
    limits = _poisson_limits(confidence)
    least, most = (limits[np.minimum(count, _FEW + 1).astype(np.int64)] / m for count in (s, m - s))
    return np.maximum(0.0, np.minimum(centre - half, least)), np.minimum(
        1.0, np.maximum(centre + half, 1 - most)
    )


def clopper_pearson(successes: ArrayLike, n: ArrayLike, *, confidence: float = CONFIDENCE) -> Ends:
    """Exact interval of a proportion: each end errs with probability at most (1 - confidence) / 2."""
    s, m = _counts(successes, n)
    tail = (1 - confidence) / 2
    _normal_quantile(confidence)
    low = np.where(s == 0, 0.0, special.betaincinv(np.maximum(s, 1), m - s + 1, tail))
    high = np.where(s == m, 1.0, special.betaincinv(s + 1, np.maximum(m - s, 1), 1 - tail))
    return low, high


def newcombe(
    first: ArrayLike,
    first_n: ArrayLike,
    second: ArrayLike,
    second_n: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
) -> Ends:
    """Hybrid score interval of p_first - p_second for independent samples (Newcombe 1998a, method 10)."""
    (low_1, high_1), (low_2, high_2) = (
        wilson(first, first_n, confidence=confidence),
        wilson(second, second_n, confidence=confidence),
    )
    p_1, p_2 = np.divide(first, first_n), np.divide(second, second_n)
    low = p_1 - p_2 - np.hypot(p_1 - low_1, high_2 - p_2)
    return low, p_1 - p_2 + np.hypot(high_1 - p_1, p_2 - low_2)


def newcombe_paired(
    first: np.ndarray, second: np.ndarray, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of p_first - p_second where both judge the same `n` examples (Newcombe 1998b, method 10).

    Args:
        first: `n`, bool.
        second: `n`, bool, of the same examples.
        confidence: of the interval.
    """
    n = len(first)
    both, neither = float(np.sum(first & second)), float(np.sum(~first & ~second))
    only_1, only_2 = float(np.sum(first & ~second)), float(np.sum(~first & second))
    s_1, s_2 = both + only_1, both + only_2
    low, high = wilson([s_1, s_2], n, confidence=confidence)
    p_1, p_2 = s_1 / n, s_2 / n
    scale = np.sqrt(s_1 * (n - s_1) * s_2 * (n - s_2))
    product = both * neither - only_1 * only_2
    if product > 0:
        product = max(product - n / 2, 0.0)
    phi = product / scale if scale > 0 else 0.0
    below_1, above_1, below_2, above_2 = p_1 - low[0], high[0] - p_1, p_2 - low[1], high[1] - p_2
    down = np.sqrt(max(below_1**2 - 2 * phi * below_1 * above_2 + above_2**2, 0.0))
    up = np.sqrt(max(above_1**2 - 2 * phi * above_1 * below_2 + below_2**2, 0.0))
    return float(p_1 - p_2 - down), float(p_1 - p_2 + up)


def percentiles(replicates: np.ndarray, *, confidence: float = CONFIDENCE) -> Ends:
    """Percentile interval over the first axis."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return low, high
