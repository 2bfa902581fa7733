"""Intervals of a mean of skewed values: with a largest possible value (score interval), and without (Hall).

Score interval of a proportion: Wilson 1927. Cubic transformation of Student's statistic: Hall 1992 (Journal of the
Royal Statistical Society B 54: 221-228).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from tasks.errors import AuditError
from tasks.statistics.intervals import CONFIDENCE, Ends

_SKEWNESS_LOST = 10.0
"""A sample of n shows about 1 / (1 + 10 / n) of a skewed population's skewness (by simulation; derived here)."""


def _student(n: int, confidence: float) -> float:
    if n < 1:
        raise AuditError("interval of a mean: expected at least 1 value, got 0")
    return float(special.stdtrit(max(n - 1, 1), 0.5 + confidence / 2))


def bounded_mean(values: np.ndarray, *, largest: ArrayLike = 1.0, confidence: float = CONFIDENCE) -> Ends:
    """Score interval of a mean of values in [0, `largest`].

    As Wilson's with the number of examples that would give the variance that is seen. To each end the variance is taken
    with one more value there (derived here): what no example shows may yet be there, as in 0 hits of n.

    Args:
        values: `n` or `n x M`.
        largest: largest possible value, a number or `M`.
        confidence: of the interval.

    Returns:
        Low and high ends, scalars or `M`.
    """
    n = len(values)
    square = _student(n, confidence) ** 2
    scale = np.asarray(largest, dtype=np.float64)
    shares = values / scale
    mean = np.clip(shares.mean(axis=0), 0.0, 1.0)
    within = np.square(shares - mean).sum(axis=0)
    ends = []
    for end, sign in ((0.0, -1.0), (1.0, 1.0)):
        middle = (n * mean + end) / (n + 1)
        variance = (within + np.square(end - mean) * n / (n + 1)) / n
        flat = variance <= 0
        effective = np.where(flat, n, n * middle * (1 - middle) / np.where(flat, 1.0, variance))
        centre = mean + square / (2 * effective)
        half = np.sqrt(square * (mean * (1 - mean) / effective + square / (4 * effective**2)))
        reached = np.where(mean == end, end, (centre + sign * half) / (1 + square / effective))
        ends.append(scale * np.clip(reached, 0.0, 1.0))
    return ends[0], ends[1]


def skewed_mean(values: np.ndarray, *, confidence: float = CONFIDENCE) -> Ends:
    """Student's interval of a mean, corrected for skewness by Hall's transformation.

    Values so rare that no example shows them are not covered: no interval can, without a largest possible value.

    Args:
        values: `n` or `n x M`.
        confidence: of the interval.

    Returns:
        Low and high ends, scalars or `M`.
    """
    n = len(values)
    reach = _student(n, confidence) / np.sqrt(n)
    mean = values.mean(axis=0)
    deviation = values.std(axis=0, ddof=1) if n > 1 else np.zeros_like(mean)
    third = ((values - mean) ** 3).mean(axis=0)
    flat = deviation <= 0
    skewness = (1 + _SKEWNESS_LOST / n) * third / np.where(flat, 1.0, deviation) ** 3

    def studentised(limit: float) -> np.ndarray:
        straight = np.abs(skewness) < 1e-9
        slope = np.where(straight, 1.0, skewness)
        bent = 3 / slope * (np.cbrt(1 + slope * (limit - slope / (6 * n))) - 1)
        return np.where(straight, limit, bent)

    return mean - deviation * studentised(reach), mean - deviation * studentised(-reach)
