"""Forget sets of low, middle or high entanglement with the retain set (Zhao et al. 2024, RUM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import make


@register("entanglement")
@dataclass(frozen=True, kw_only=True)
class Entanglement(ForgetKind):
    """Examples at a given distance from the centre of feature space; far ones are hard to tell apart.

    Training examples are sorted by the distance of their penultimate features to the mean feature and cut
    into equal groups; the first examples of the groups of a level are taken.
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    level: Literal["low", "mid", "high", "mix"]
    """Which groups; mix takes a third of the count from each level."""
    count: int
    """Number of examples."""
    groups: int = 15
    """Groups of equal size, nearest first (15 for CIFAR, 100 for Tiny ImageNet)."""
    low: tuple[int, ...] = (3,)
    """Groups of low entanglement, from 0 (0, 1, 2 for Tiny ImageNet)."""
    mid: tuple[int, ...] = (12,)
    """Groups of middle entanglement (49, 50, 51 for Tiny ImageNet)."""
    high: tuple[int, ...] = (14,)
    """Groups of high entanglement (97, 98, 99 for Tiny ImageNet)."""

    needs: ClassVar[tuple[str, ...]] = ("features",)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise AuditError(f"count: expected at least 1, got {self.count}")
        for level in ("low", "mid", "high"):
            numbers = getattr(self, level)
            if not numbers or not all(0 <= number < self.groups for number in numbers):
                raise AuditError(f"{level}: expected groups in 0..{self.groups - 1}, got {list(numbers)}")

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Sort by distance, cut into groups, take the first of the groups of the level."""
        train = request.splits.train
        features = np.asarray(request.scores["features"], dtype=np.float64)[train]
        if features.ndim != 2:
            raise AuditError(f"features: expected N x d, got {features.ndim} axis")
        known = np.isfinite(features).all(axis=1)
        train, features = train[known], features[known]
        distance = np.linalg.norm(features - features.mean(axis=0), axis=1)
        parts = np.array_split(np.argsort(distance, kind="stable"), self.groups)
        rows = self._rows(parts)
        forgotten = np.isin(np.arange(len(train)), rows)
        score = entanglement_score(features[~forgotten], features[forgotten]) if not forgotten.all() else None
        return make("entanglement", self, train[rows], entanglement_score=score)

    def _rows(self, parts: list[np.ndarray]) -> np.ndarray:
        levels = ("low", "mid", "high") if self.level == "mix" else (self.level,)
        shares = [len(share) for share in np.array_split(np.arange(self.count), len(levels))]
        chosen = []
        for level, share in zip(levels, shares, strict=True):
            members = np.concatenate([parts[number] for number in getattr(self, level)])
            if share > len(members):
                raise AuditError(f"count: {share} from level {level}, whose groups hold {len(members)}")
            chosen.append(members[:share])
        return np.concatenate(chosen)


def entanglement_score(retain: np.ndarray, forget: np.ndarray) -> float:
    """ES of two sets of features; larger is more entangled (RUM, section 4.1).

    ES = [mean |phi - mu_r|^2 over D_r + mean |phi - mu_f|^2 over D_f]
         / [(|mu_r - mu|^2 + |mu_f - mu|^2) / 2], with mu the unweighted mean of mu_r and mu_f.

    Args:
        retain: `n_r x d` features of the retain set.
        forget: `n_f x d` features of the forget set.
    """
    mu_r, mu_f = retain.mean(axis=0), forget.mean(axis=0)
    mu = (mu_r + mu_f) / 2
    within = ((retain - mu_r) ** 2).sum(axis=1).mean() + ((forget - mu_f) ** 2).sum(axis=1).mean()
    between = (((mu_r - mu) ** 2).sum() + ((mu_f - mu) ** 2).sum()) / 2
    return float(within / between) if between > 0 else float("inf")
