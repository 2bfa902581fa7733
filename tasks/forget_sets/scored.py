"""Forget sets chosen by what earlier stages found out about each example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import make

Level = Literal["low", "mid", "high", "mix"]


@register("by_score")
@dataclass(frozen=True, kw_only=True)
class ByScore(ForgetKind):
    """Training examples of low, middle or high score, such as the strata of RUM (Zhao et al. 2024).

    Examples whose score is not finite are unknown and never chosen.
    """

    score: str
    """Which score: memorisation, privacy_risk, or a proxy such as confidence."""
    level: Level
    """low: the smallest; mid: the closest to `middle`; high: the largest; mix: a third of each."""
    count: int
    """Number of examples."""
    middle: float | None = None
    """What mid is closest to; none takes 0.5 for memorisation (RUM), else the median of the known scores."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise AuditError(f"count: expected at least 1, got {self.count}")
        if not self.score:
            raise AuditError("score: expected the name of a score")

    @property
    def needs(self) -> tuple[str, ...]:
        """The score."""
        return (self.score,)

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Rank the examples of known score; equal scores are taken in the order of their ids."""
        ids, scores = self._known(request)
        chosen = pick(scores, self.level, self.count, middle=self._middle(scores))
        return make(
            "by_score",
            self,
            ids[chosen],
            mean_score=float(scores[chosen].mean()),
            lowest_score=float(scores[chosen].min()),
            highest_score=float(scores[chosen].max()),
            num_known=len(ids),
        )

    def _known(self, request: ForgetRequest) -> tuple[np.ndarray, np.ndarray]:
        train = request.splits.train
        scores = np.asarray(request.scores[self.score], dtype=np.float64)[train]
        if scores.ndim != 1:
            raise AuditError(f"score: '{self.score}' has {scores.shape[1:]} values an example, expected one")
        known = np.isfinite(scores)
        if known.sum() < self.count:
            raise AuditError(
                f"count: expected at most {known.sum()}, the training examples whose {self.score} is known, "
                f"got {self.count}"
            )
        return train[known], scores[known]

    def _middle(self, scores: np.ndarray) -> float:
        if self.middle is not None:
            return self.middle
        return 0.5 if self.score == "memorisation" else float(np.median(scores))


def pick(scores: np.ndarray, level: Level, count: int, *, middle: float) -> np.ndarray:
    """Positions of `count` scores: the smallest, the largest, or the closest to `middle`.

    `mix` takes a third of each (a remainder goes to low, then to the middle); the middle third is chosen
    among what the extremes leave.
    """
    ascending = np.argsort(scores, kind="stable")
    if level == "low":
        return ascending[:count]
    if level == "high":
        return np.argsort(-scores, kind="stable")[:count]
    if level == "mid":
        return np.argsort(np.abs(scores - middle), kind="stable")[:count]
    low, mid, high = (len(part) for part in np.array_split(np.arange(count), 3))
    bottom = ascending[:low]
    descending = np.argsort(-scores, kind="stable")
    top = descending[~np.isin(descending, bottom)][:high]
    closest = np.argsort(np.abs(scores - middle), kind="stable")
    centre = closest[~np.isin(closest, np.concatenate([bottom, top]))][:mid]
    return np.concatenate([bottom, centre, top])
