"""Epsilon of (epsilon, delta)-indistinguishability from the two error rates of a test, and bounds of it at 95 %.

Kairouz et al. 2015: a test of two (epsilon, delta)-indistinguishable hypotheses has FNR + e^epsilon FPR >= 1 - delta
and FPR + e^epsilon FNR >= 1 - delta.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tasks.statistics.intervals import CONFIDENCE, clopper_pearson

EPSILON_CAP = 50.0
"""What the NeurIPS 2023 competition calls the epsilon of two samples that a rule separates without error."""
_PER_UNIT, _REACH, _PEAKED = 100, 2.0, 0.01


def privacy_loss(fpr: np.ndarray, fnr: np.ndarray, delta: float) -> np.ndarray:
    """max{log((1 - delta - FPR) / FNR), log((1 - delta - FNR) / FPR)}; infinite where a rate is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.log(np.maximum(1 - delta - fpr, 0.0)) - np.log(fnr)
        second = np.log(np.maximum(1 - delta - fnr, 0.0)) - np.log(fpr)
    return np.fmax(first, second)


def epsilon_from_counts(
    hits: np.ndarray, members: int, alarms: np.ndarray, others: int, *, delta: float
) -> np.ndarray:
    """Lower bound of epsilon from the counts of a fixed rule, with Clopper-Pearson bounds of both errors.

    max{log((1 - delta - FNR+) / FPR+), log((1 - delta - FPR+) / FNR+)}, at least 0. The bounds are never 0, so the
    ratios are taken as they are.
    """
    _, fpr = clopper_pearson(alarms, others)
    _, fnr = clopper_pearson(members - np.asarray(hits), members)
    ratios = np.maximum((1 - delta - fnr) / fpr, (1 - delta - fpr) / fnr)
    return np.log(np.maximum(ratios, 1.0))


def epsilon_ceiling(
    positives: np.ndarray, negatives: np.ndarray, *, delta: float = 1e-5, confidence: float = CONFIDENCE
) -> np.ndarray:
    """Largest bound that perfect separation of so many observations can show; 128 and 128 give 3.53 at 95 %."""
    zero = np.zeros(np.shape(positives))
    fnr, fpr = (
        clopper_pearson(zero, np.maximum(n, 1), confidence=confidence)[1] for n in (positives, negatives)
    )
    return np.maximum(privacy_loss(fpr, fnr, delta), 0.0)


def competition_epsilon(first: np.ndarray, second: np.ndarray, *, delta: float = 1e-5) -> float:
    """Epsilon between two samples of phi as the NeurIPS 2023 competition estimates it, without a bound.

    Triantafillou et al. 2024 (arXiv:2406.09073) and their released code (google-deepmind/unlearning_evaluation). Rules
    are single thresholds, the sample of the larger median above, and intervals of about the width of the narrower
    sample, that sample inside: right ends from 2 below its maximum to 2 above, left ends a width further, from 2 out to
    2 in; a hundred cuts a unit of phi. A rule with exactly one empty cell is discarded, one with two gives the cap, and
    so does a sample whose range is below 1 % of the other's. Where no rule is left, at which that code stops, it is 0.

    Args:
        first, second: values under either hypothesis, 1-D; the estimate is the same with the two exchanged.
        delta: of (epsilon, delta).
    """
    first, second = np.sort(first), np.sort(second)
    narrow, wide = (first, second) if np.ptp(first) < np.ptp(second) else (second, first)
    if np.ptp(narrow) < _PEAKED * np.ptp(wide):
        return EPSILON_CAP
    upper, lower = (first, second) if np.median(first) > np.median(second) else (second, first)
    single = _loss_of_counts(len(upper), len(lower), delta)[_single_errors(upper, lower)]
    double = _loss_of_counts(len(narrow), len(wide), delta).take(_interval_errors(narrow, wide))
    return float(max(single.max(initial=0.0), double.max(initial=0.0)))


def _single_errors(upper: np.ndarray, lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Members of the upper sample below each threshold, and of the lower one not below it."""
    low, high = min(upper[0], lower[0]), max(upper[-1], lower[-1])
    cuts = np.linspace(low, high, int(np.ceil((high - low) * _PER_UNIT)))
    return np.searchsorted(upper, cuts), len(lower) - np.searchsorted(lower, cuts)


def _interval_errors(narrow: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Place in the table of losses of every interval, `right ends x left ends`.

    It is the row of the members of the narrow sample outside and the column of those of the wide one inside, and so the
    sum of a part of the right end and a part of the left one. Left ends stand on one grid with a step of the right
    ends: that of right end i and offset j is number i + j; none lies beyond its right end.
    """
    count, row = int(2 * _REACH * _PER_UNIT), len(wide) + 1
    step = 2 * _REACH / (count - 1)
    offsets = min(count, int((np.ptp(narrow) + _REACH) / step) + 1)
    right = narrow[-1] - _REACH + step * np.arange(count)
    left = narrow[0] - 2 * _REACH + step * np.arange(count + offsets - 1)
    upto = [np.searchsorted(sample, right, side="right").astype(np.int32) for sample in (narrow, wide)]
    before = [np.searchsorted(sample, left).astype(np.int32) for sample in (narrow, wide)]
    of_right = (len(narrow) - upto[0]) * row + upto[1]
    of_left = before[0] * row - before[1]
    return of_right[:, None] + np.lib.stride_tricks.sliding_window_view(of_left, offsets)


@lru_cache(maxsize=64)
def _loss_of_counts(first: int, second: int, delta: float) -> np.ndarray:
    """Epsilon of a rule by its errors of either kind, `(first + 1) x (second + 1)`, within 0 and the cap."""
    fnr, fpr = np.meshgrid(
        np.arange(first + 1) / first, np.arange(second + 1) / second, indexing="ij", sparse=True
    )
    loss = np.clip(privacy_loss(fpr, fnr, delta), 0.0, EPSILON_CAP)
    loss[0, :] = loss[:, 0] = 0.0
    loss[0, 0] = EPSILON_CAP
    return loss
