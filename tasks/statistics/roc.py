"""Intervals of the area under a ROC curve and of the true-positive rate at a false-positive rate.

Components of the AUC: DeLong et al. 1988 in the midrank form of Sun and Xu 2014.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from tasks.errors import AuditError
from tasks.statistics.groups import by_group, independent_number
from tasks.statistics.intervals import CONFIDENCE
from tasks.statistics.means import bounded_mean

_NEGLIGIBLE = 1e-9
"""Probability below which a place of the threshold is left out."""


class Estimate(NamedTuple):
    """A value with its interval."""

    value: float
    low: float
    high: float


def auc_interval(
    score: np.ndarray,
    member: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """AUC of `score` for `member` (`n`, bool), ties counting one half.

    It is the mean over members of the share of non-members that each beats, and likewise over non-members: each mean
    has the interval of a bounded mean, and their distances to it add in squares (derived here). It stays honest where
    the scores are separated, binary, or few on one side, where DeLong's normal interval falls short.

    Args:
        score, member: of the examples.
        groups: of whom each is, `n`: the means are then over groups (Obuchowski 1997 does the same to DeLong's), and
            where one has members and others the distances add as they are.
        confidence: of the interval.
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
    own = (None, None) if groups is None else (groups[member], groups[~member])
    sides = [
        bounded_mean(by_group(side, of), confidence=confidence)
        for side, of in zip((over_members, over_others), own, strict=True)
    ]
    order = 2 if own[0] is None or not len(np.intersect1d(*own)) else 1
    below, above = (float(np.linalg.norm([ends[k] - value for ends in sides], order)) for k in (0, 1))
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def tpr_interval(
    members: np.ndarray,
    others: np.ndarray,
    fpr: float,
    *,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Interval of the true-positive rate at the threshold whose false-positive rate is `fpr`, which is not known.

    Of n non-members the number above that threshold is binomial (n, `fpr`): this says between which of them it lies,
    and so how many members exceed it, the mean of the two numbers at either side. The ends of Clopper-Pearson for
    each number are mixed by its probability (derived here). A known threshold gives Clopper-Pearson's interval.

    Args:
        members: scores, `m`.
        others: scores, `n`.
        fpr: within (0, 1).
        groups: of whom each member and each non-member is: counted are then as many of both as
            `tasks.statistics.groups.independent_number` says, with the ranks of all.
        confidence: of the interval.
    """
    from scipy import optimize, stats  # take a second

    own = groups or (None, None)
    m = independent_number(own[0], len(members))
    n = int(independent_number(own[1], len(others)))
    above = np.arange(n + 1)
    weight = stats.binom.pmf(above, n, fpr)
    above, weight = above[weight > _NEGLIGIBLE], weight[weight > _NEGLIGIBLE]
    ladder = np.concatenate([[np.inf], np.sort(others)[::-1], [-np.inf]])
    beaten = len(members) - np.searchsorted(np.sort(members), ladder, side="right")
    first, last = above * len(others) // n, -(-above * len(others) // n) + 1
    hits = (beaten[first] + beaten[np.minimum(last, len(others) + 1)]) / 2 * (m / len(members))
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
