"""Confidence intervals: exact and score intervals of proportions, bootstrap, and DeLong for the AUC.

Wilson 1927; Clopper and Pearson 1934; Newcombe 1998 (Statistics in Medicine 17: 873-890, method 10; and
2635-2650, method 10, for pairs); DeLong et al. 1988 in the midrank form of Sun and Xu 2014.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from tasks.errors import AuditError

Ends = tuple[np.ndarray, np.ndarray]
CONFIDENCE = 0.95
"""Coverage of every interval and bound that Lethe states."""
_CHUNK = 4_000_000
"""Draws held at once by the bootstrap."""


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise AuditError(f"confidence: expected a number in (0, 1), got {confidence}")
    return float(stats.norm.ppf(0.5 + confidence / 2))


def _counts(successes: ArrayLike, n: ArrayLike) -> Ends:
    s, m = np.broadcast_arrays(np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64))
    if np.any(m < 1) or np.any(s < 0) or np.any(s > m):
        raise AuditError("interval of a proportion: expected 0 <= successes <= n and n >= 1")
    return s, m


def wilson(successes: ArrayLike, n: ArrayLike, *, confidence: float = CONFIDENCE) -> Ends:
    """Score interval of a proportion, for arrays of any one shape."""
    s, m = _counts(successes, n)
    z2 = _normal_quantile(confidence) ** 2
    centre = (s + z2 / 2) / (m + z2)
    half = np.sqrt(z2 * (s * (m - s) / m + z2 / 4)) / (m + z2)
    # the score interval touches 0 and 1 exactly there; rounding would leave it short
    return np.where(s == 0, 0.0, centre - half), np.where(s == m, 1.0, centre + half)


def clopper_pearson(successes: ArrayLike, n: ArrayLike, *, confidence: float = CONFIDENCE) -> Ends:
    """Exact interval of a proportion: each end errs with probability at most (1 - confidence) / 2."""
    s, m = _counts(successes, n)
    tail = (1 - confidence) / 2
    _normal_quantile(confidence)
    low = np.where(s == 0, 0.0, stats.beta.ppf(tail, np.maximum(s, 1), m - s + 1))
    high = np.where(s == m, 1.0, stats.beta.ppf(1 - tail, s + 1, np.maximum(m - s, 1)))
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


def bootstrap_mean(
    values: np.ndarray, *, generator: np.random.Generator, count: int = 1000, confidence: float = CONFIDENCE
) -> Ends:
    """Percentile bootstrap of the mean over examples.

    Args:
        values: `n` or `n x M`; the columns are resampled together.
        generator: draws the examples.
        count: resamples.
        confidence: of the interval.

    Returns:
        Low and high ends, scalars or `M`.
    """
    n = len(values)
    if n < 1:
        raise AuditError("bootstrap: expected at least 1 value, got 0")
    means = np.empty((count, *values.shape[1:]))
    step = max(1, _CHUNK // n)
    for start in range(0, count, step):
        rows = generator.integers(n, size=(min(step, count - start), n), dtype=np.int64)
        if values.ndim == 1:
            means[start : start + len(rows)] = values[rows].mean(axis=1)
        else:
            for column in range(values.shape[1]):
                means[start : start + len(rows), column] = values[:, column][rows].mean(axis=1)
    return percentiles(means, confidence=confidence)


def bootstrap_counts(counts: np.ndarray, *, generator: np.random.Generator, count: int) -> np.ndarray:
    """Resampled category counts, `count x C`: the bootstrap of any statistic that reads counts alone."""
    total = int(counts.sum())
    return generator.multinomial(total, counts / total, size=count)


def percentiles(replicates: np.ndarray, *, confidence: float = CONFIDENCE) -> Ends:
    """Percentile interval over the first axis."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], axis=0)
    return low, high


def reflected(value: float, replicates: np.ndarray, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Basic bootstrap interval of a spread (max - min), cut at 0 and widened to hold `value`.

    Noise lifts a maximum minus a minimum, and resampling lifts it again; 2 * value - quantile takes that
    second lift off, where percentiles would double it.
    """
    low, high = percentiles(replicates, confidence=confidence)
    return max(0.0, min(value, float(2 * value - high))), max(value, float(2 * value - low))


class AUC(NamedTuple):
    """Area under the ROC curve (ties count one half) with DeLong's standard error and an interval."""

    value: float
    standard_error: float
    low: float
    high: float


def _components(score: np.ndarray, member: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The AUC and its structural components over members and over non-members."""
    member = np.asarray(member, dtype=bool)
    m, n = int(member.sum()), int((~member).sum())
    if not m or not n:
        raise AuditError(f"auc: expected members and non-members, got {m} and {n}")
    score = np.asarray(score, dtype=np.float64)
    ranks = stats.rankdata(score)
    over_members = (ranks[member] - stats.rankdata(score[member])) / n
    over_others = 1 - (ranks[~member] - stats.rankdata(score[~member])) / m
    return float(over_members.mean()), over_members, over_others


def _variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def delong(score: np.ndarray, member: np.ndarray, *, confidence: float = CONFIDENCE) -> AUC:
    """AUC of `score` for `member` (`n`, bool), with an interval on the logit scale.

    Where the variance is zero (perfect separation, or constant scores) the interval is the exact one of
    min(m, n) disjoint pairs, which is conservative.
    """
    value, over_members, over_others = _components(score, member)
    error = float(np.sqrt(_variance(over_members) + _variance(over_others)))
    if error == 0 or value in (0.0, 1.0):
        pairs = min(len(over_members), len(over_others))
        low, high = clopper_pearson(value * pairs, pairs, confidence=confidence)
        return AUC(value, error, float(low), float(high))
    half = _normal_quantile(confidence) * error / (value * (1 - value))
    centre = np.log(value / (1 - value))
    low, high = 1 / (1 + np.exp(-(centre + np.array([-half, half]))))
    return AUC(value, error, float(low), float(high))
