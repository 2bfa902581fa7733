"""Likelihood-ratio attacks with one Gaussian pair per example: LiRA (G0) and U-LiRA (G1, G2, G3).

LiRA: Carlini et al. 2022 (arXiv:2112.03570), section V. U-LiRA: Hayes et al. 2024 (arXiv:2403.01218): decide
member iff N_f / (N_f + N_r) > 1/2, a likelihood comparison at equal priors and not a tuned threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tasks.attacks.base import register
from tasks.attacks.per_example import CrossFitted
from tasks.errors import AuditError
from tasks.runtime.seeding import numpy_generator
from tasks.shadows.games import Comparison, PerExampleScores, empty_scores
from tasks.shadows.moments import LeftOut, PooledVariance, leave_one_out, shrink

Variance = Literal["shrunk", "per_example", "fixed"]
VARIANCE_FLOOR = 1e-3


@dataclass(frozen=True, kw_only=True)
class _GaussianAttack(CrossFitted):
    """What LiRA and U-LiRA share: cross-fitted Gaussians over phi."""

    games: ClassVar[tuple[str, ...]]

    mode: Literal["online", "offline"] = "online"
    """online: likelihood ratio of both hypotheses; offline: one-sided distance from H0 alone."""
    variance: Variance = "shrunk"
    """shrunk: towards the pooled one (best below 32 shadows a side); per_example; fixed: pooled alone."""
    prior_weight: float | None = None
    """Degrees of freedom of the pooled variance under shrunk; none estimates them from how much the
    variances of the examples differ (Smyth 2004)."""
    balance: bool = True
    """Drop one random shadow where the size of the fit would tell the label (count leak)."""

    def __post_init__(self) -> None:
        if self.prior_weight is not None and self.prior_weight < 0:
            raise AuditError(f"prior_weight: expected at least 0, got {self.prior_weight}")
        super().__post_init__()

    def score(self, comparison: Comparison) -> PerExampleScores:
        """Score every run of the comparison by a fit that left out its whole fold.

        The 1/2 rule is a threshold of 0 on the log-likelihood ratio; offline scores have none.
        """
        if comparison.game not in self.games:
            raise AuditError(
                f"{_statistic(self)}: expected game {' or '.join(self.games)}, got {comparison.game}"
            )
        comparison = comparison.cross_fitted(self.folds)
        pooled = [PooledVariance(comparison.num_folds) for _ in range(2)]
        for columns, phi, label in comparison.blocks():
            for side in range(2):
                pooled[side].add(self._moments(comparison, phi, label, side, columns))
        scores = empty_scores(comparison, _statistic(self), 0.0 if self.mode == "online" else None)
        for columns, phi, label in comparison.blocks():
            sides = [self._moments(comparison, phi, label, side, columns) for side in range(2)]
            variances = self._variances(sides, pooled)
            value = self._score_block(phi, comparison.fold, sides, variances)
            scores.label[:, columns] = label
            scores.score[:, columns] = np.where(label >= 0, np.nan_to_num(value), 0.0)
        return scores

    def _moments(
        self, comparison: Comparison, phi: np.ndarray, label: np.ndarray, side: int, columns: slice
    ) -> LeftOut:
        generator = numpy_generator("count leak", side, int(columns.start)) if self.balance else None
        return leave_one_out(phi, label == side, comparison.fold, base=comparison.base, generator=generator)

    def _variances(self, sides: list[LeftOut], pooled: list[PooledVariance]) -> list[np.ndarray]:
        if self.variance == "fixed":
            both = (pooled[0].value + pooled[1].value)[:, None] / 2
            return [np.broadcast_to(both, side.mean.shape) for side in sides]
        return [self._variance(side, pool) for side, pool in zip(sides, pooled, strict=True)]

    def _variance(self, moments: LeftOut, pooled: PooledVariance) -> np.ndarray:
        floor = VARIANCE_FLOOR * pooled.value
        if self.variance == "per_example":
            return shrink(moments, pooled.value, 0.0, floor)
        if self.prior_weight is not None:
            return shrink(moments, pooled.value, self.prior_weight, floor)
        weight, prior = pooled.prior()
        return shrink(moments, prior, weight, floor)

    def _score_block(
        self, phi: np.ndarray, fold: np.ndarray, sides: list[LeftOut], variances: list[np.ndarray]
    ) -> np.ndarray:
        logs = []
        for moments, variance in zip(sides, variances, strict=True):
            distance = phi - moments.mean[fold]
            if self.mode == "offline":
                # Pr[Z <= phi] orders like the standardised distance, which does not saturate at 1.
                return distance / np.sqrt(variance[fold])
            logs.append(-0.5 * (distance**2 / variance[fold] + np.log(variance[fold])))
        return logs[1] - logs[0]


def _statistic(attack: _GaussianAttack) -> str:
    name = "lira" if isinstance(attack, LiRA) else "u_lira"
    return f"{name}_{attack.mode}"


@register("lira")
@dataclass(frozen=True, kw_only=True)
class LiRA(_GaussianAttack):
    """Trained on or not, from models that did not unlearn (G0): the ceiling of every unlearning cell."""

    games: ClassVar[tuple[str, ...]] = ("G0",)
    game: Literal["G0"] = "G0"
    """Trained on or not: see `tasks.shadows.games.GAMES`."""


@register("u_lira")
@dataclass(frozen=True, kw_only=True)
class ULiRA(_GaussianAttack):
    """One attacker per example against unlearned models; G1 sees global shifts too, G2 only x's own."""

    games: ClassVar[tuple[str, ...]] = ("G1", "G2", "G3")
    game: Literal["G1", "G2", "G3"] = "G2"
    """G1: against models not unlearned; G2: never trained on, same model; G3: retained examples."""
