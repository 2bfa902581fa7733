"""Epsilon of (epsilon, delta)-indistinguishability from the two error rates of a test, and bounds of it at 95 %.

Kairouz et al. 2015: a test of two (epsilon, delta)-indistinguishable hypotheses has FNR + e^epsilon FPR >= 1 - delta
and FPR + e^epsilon FNR >= 1 - delta.
"""

from __future__ import annotations

import numpy as np

from tasks.statistics.intervals import clopper_pearson


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


def epsilon_ceiling(positives: np.ndarray, negatives: np.ndarray, *, delta: float = 1e-5) -> np.ndarray:
    """Largest bound that perfect separation of so many observations can show; 128 and 128 give 3.53."""
    zero = np.zeros(np.shape(positives))
    fnr, fpr = (clopper_pearson(zero, np.maximum(n, 1))[1] for n in (positives, negatives))
    return np.maximum(privacy_loss(fpr, fnr, delta), 0.0)
