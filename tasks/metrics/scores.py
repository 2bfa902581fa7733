"""What a membership attack hands to the statistics: scores by example, never a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class MembershipScores:
    """Scores of one statistic in one game; higher means more member-like (not forgotten)."""

    statistic: str
    """What was scored: loss, logistic, svc_confidence, lira_online, ..."""
    game: str
    """G0 to G3 (guide/games.md#games)."""
    ids: np.ndarray
    """Example ids, `n`, int64."""
    member: np.ndarray
    """True for H1 (unlearned, retained), `n`, bool."""
    score: np.ndarray
    """`n`, float64, finite."""
    threshold: float | None = None
    """Decision threshold that the attack fixed without looking at these members (0.5 rule, SVC)."""
    groups: np.ndarray | None = None
    """Of whom each example is, `n`, int64; None: each stands for itself."""
    folds: int = 0
    """Folds by which the examples were judged by fits on the others of them; 0: no fit saw any of them. Fits that share
    examples err together, which widens every interval (`tasks.metrics.membership`)."""
