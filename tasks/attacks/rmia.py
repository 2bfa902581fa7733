"""Robust membership inference against a population: RMIA (G0) and its unlearning form (G1, G2, G3).

Zarifzadeh et al. 2024 (arXiv:2312.03262): score = Pr_z[ (p(x|m)/p(x)) / (p(z|m)/p(z)) >= gamma ].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.special import expit

from tasks.attacks.base import register
from tasks.attacks.per_example import CrossFitted
from tasks.errors import AuditError
from tasks.runtime.seeding import numpy_generator
from tasks.shadows.games import Comparison, PerExampleScores, empty_scores
from tasks.shadows.moments import fold_sums, leave_one_out


@dataclass(frozen=True, kw_only=True)
class _PopulationRatio(CrossFitted):
    """What both forms share; p is the softmax probability of the true label, recovered from phi."""

    games: ClassVar[tuple[str, ...]]

    mode: Literal["online", "offline"] = "online"
    """online: p(x) from both hypotheses; offline: from H0 alone, p(x) = ((1 + a) p_out + 1 - a) / 2."""
    gamma: float = 1.0
    """How many times more x must gain than z."""
    offline_a: float = 0.3
    """a of the offline approximation P_in = a P_out + 1 - a."""
    break_ties: bool = True
    """Order examples that dominate the same number of z by their ratio; ties at 1 ruin a low FPR."""
    balance: bool = True
    """Drop one random shadow where the size of the reference would tell the label (count leak)."""

    def __post_init__(self) -> None:
        if self.gamma <= 0 or not 0 <= self.offline_a <= 1:
            raise AuditError(
                f"gamma, offline_a: expected > 0 and in [0, 1], got {self.gamma} and {self.offline_a}"
            )
        super().__post_init__()

    def score(self, comparison: Comparison) -> PerExampleScores:
        """Score every run against references that leave out its whole fold; O((n + Z) log Z) per run."""
        name = f"{'rmia' if isinstance(self, RMIA) else 'u_rmia'}_{self.mode}"
        if comparison.game not in self.games:
            raise AuditError(f"{name}: expected game {' or '.join(self.games)}, got {comparison.game}")
        comparison = comparison.cross_fitted(self.folds)
        ratios = np.sort(self._population_ratios(comparison), axis=1)
        scores = empty_scores(comparison, name, None)
        for columns, phi, label in comparison.blocks():
            confidence = expit(phi)
            expected = self._expected(comparison, confidence, label, columns)[comparison.fold]
            ratio = confidence / expected
            scores.label[:, columns] = label
            scores.score[:, columns] = np.where(label >= 0, self._dominated(ratio, ratios), 0.0)
            scores.score[:, columns][np.isnan(ratio)] = 0.5
        return scores

    def _expected(
        self, comparison: Comparison, confidence: np.ndarray, label: np.ndarray, columns: slice
    ) -> np.ndarray:
        means = []
        for side in range(2):
            generator = numpy_generator("count leak", side, int(columns.start)) if self.balance else None
            moments = leave_one_out(
                confidence, label == side, comparison.fold, base=comparison.base, generator=generator
            )
            means.append(moments.mean)
        return self._reference(means[0], (means[0] + means[1]) / 2)

    def _reference(self, never: np.ndarray, both: np.ndarray) -> np.ndarray:
        if self.mode == "online":
            return both
        return ((1 + self.offline_a) * never + 1 - self.offline_a) / 2

    def _population_ratios(self, comparison: Comparison) -> np.ndarray:
        phi, source = comparison.population()
        confidence = expit(phi)
        # z was in no training set, so every run of a hypothesis' source counts, whatever x's state.
        means = []
        for side in ({int(source.min())}, {int(source.max())}):
            rows = np.isin(source, list(side))
            member = np.broadcast_to(rows[:, None], confidence.shape)
            count, total = fold_sums(confidence, member, comparison.fold, comparison.num_folds)
            means.append((total.sum(0) - total) / np.maximum(count.sum(0) - count, 1))
        expected = self._reference(means[1], (means[0] + means[1]) / 2)
        return confidence / expected[comparison.fold]

    def _dominated(self, ratio: np.ndarray, population: np.ndarray) -> np.ndarray:
        size = population.shape[1]
        below = np.stack(
            [
                np.searchsorted(row, value / self.gamma, side="right")
                for row, value in zip(population, ratio, strict=True)
            ]
        ).astype(np.float64)
        if self.break_ties:
            below += ratio / (1 + ratio) * (1 - 1e-6)
        return below / size


@register("rmia")
@dataclass(frozen=True, kw_only=True)
class RMIA(_PopulationRatio):
    """Trained on or not, from models that did not unlearn (G0)."""

    games: ClassVar[tuple[str, ...]] = ("G0",)
    game: Literal["G0"] = "G0"
    """Trained on or not: see `tasks.shadows.games.GAMES`."""


@register("u_rmia")
@dataclass(frozen=True, kw_only=True)
class URMIA(_PopulationRatio):
    """RMIA on unlearned models; monotone in confidence: what is over-unlearned scores as a non-member."""

    games: ClassVar[tuple[str, ...]] = ("G1", "G2", "G3")
    game: Literal["G1", "G2", "G3"] = "G2"
    """G1: against models not unlearned; G2: never trained on, same model; G3: retained examples."""
