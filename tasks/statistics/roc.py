"""Intervals of the area under a ROC curve and of the true-positive rate at a false-positive rate.

Components of the AUC: DeLong et al. 1988 in the midrank form of Sun and Xu 2014.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from tasks.errors import AuditError
from tasks.statistics.intervals import CONFIDENCE
from tasks.statistics.means import bounded_mean

_NEGLIGIBLE = 1e-9
"""Probability below which a place of the threshold is left out."""


class Estimate(NamedTuple):
    """A value with its interval."""

    value: float
    low: float
    high: float


def auc_interval(score: np.ndarray, member: np.ndarray, *, confidence: float = CONFIDENCE) -> Estimate:
    """AUC of `score` for `member` (`n`, bool), ties counting one half.

    It is the mean over members of the share of non-members that each beats, and likewise over non-members: each mean
    has the interval of a bounded mean, and their distances to it add in squares (derived here). It stays honest where
    the scores are separated, binary, or few on one side, where DeLong's normal interval falls short.
    """
    from scipy import stats  # takes a second

    member = np.asarray(member, dtype=bool)
    m, n = int(member.sum()), int((~member).sum())
    if not m or not n:
        raise AuditError(f"auc: expected members and non-members, got {m} and {n}")
    score = np.asarray(score, dtype=np.float64)
    ranks = stats.rankdata(score)
    over_members = (ranks[member] - stats.rankdata(score[member])) / n
    over_others = 1 - (ranks[~member] - stats.rankdata(score[~member])) / m
    value = float(over_members.mean())
    sides = [bounded_mean(side, confidence=confidence) for side in (over_members, over_others)]
    below, above = (float(np.linalg.norm([ends[k] - value for ends in sides])) for k in (0, 1))
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def tpr_interval(
    members: np.ndarray, others: np.ndarray, fpr: float, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of the true-positive rate at the threshold whose false-positive rate is `fpr`, which is not known.

    Of n non-members the number above that threshold is binomial (n, `fpr`): this says between which of them it lies,
    and so how many members exceed it, the mean of the two numbers at either side. The ends of Clopper-Pearson for
    each number are mixed by its probability (derived here). A known threshold gives Clopper-Pearson's interval.

    Args:
        members: scores, `m`.
        others: scores, `n`.
        fpr: within (0, 1).
        confidence: of the interval.
    """
    from scipy import optimize, stats  # take a second

    m, n = len(members), len(others)
    above = np.arange(n + 1)
    weight = stats.binom.pmf(above, n, fpr)
    above, weight = above[weight > _NEGLIGIBLE], weight[weight > _NEGLIGIBLE]
    ladder = np.concatenate([[np.inf], np.sort(others)[::-1], [-np.inf]])
    beaten = m - np.searchsorted(np.sort(members), ladder, side="right")
    hits = (beaten[above] + beaten[above + 1]) / 2
    tail = (1 - confidence) / 2 * weight.sum()

    def mixed(first: np.ndarray, second: np.ndarray, share: float) -> float:
        """Rate below which the mixture of beta variates has this share; a first of 0 is at 0, a second at 1."""
        at_0, at_1 = first <= 0, second <= 0
        between = ~at_0 & ~at_1
        first, second, chance = first[between], second[between], weight[between]
        certain = weight[at_0].sum()
        if certain >= share:
            return 0.0
        if certain + chance.sum() <= share:
            return 1.0
        return float(
            optimize.brentq(
                lambda rate: certain + (chance * special.betainc(first, second, rate)).sum() - share, 0.0, 1.0
            )
        )

    return mixed(hits, m - hits + 1, tail), mixed(hits + 1, m - hits, weight.sum() - tail)
