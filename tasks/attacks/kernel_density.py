"""Per-example kernel densities over phi, as in RULI (arXiv:2506.13009): member iff p1 / (p1 + p0) > 1/2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from tasks.attacks.base import register
from tasks.attacks.per_example import CrossFitted
from tasks.errors import AuditError
from tasks.shadows.games import Comparison, PerExampleScores, empty_scores
from tasks.shadows.moments import leave_one_out

BLOCK_ELEMENTS = 1_000_000
MIN_BANDWIDTH = 1e-3


@register("kernel_density")
@dataclass(frozen=True, kw_only=True)
class KernelDensity(CrossFitted):
    """Gaussian kernel density per example and hypothesis, each run scored without its own fold."""

    games: ClassVar[tuple[str, ...]] = ("G0", "G1", "G2", "G3")

    game: Literal["G0", "G1", "G2", "G3"] = "G2"
    """G2 is RULI's privacy leakage, G1 its efficacy."""
    bandwidth: float = 1.0
    """In units of phi; 1.0 is RULI's. 0 takes Silverman's 0.9 s n^(-1/5) for each example and hypothesis.
    A wide kernel loses where the spread differs between examples."""

    def __post_init__(self) -> None:
        if self.bandwidth < 0:
            raise AuditError(f"bandwidth: expected at least 0, got {self.bandwidth}")
        super().__post_init__()

    def score(self, comparison: Comparison) -> PerExampleScores:
        """Log odds log p1 - log p0 of every run; the 1/2 rule is a threshold of 0."""
        comparison = comparison.cross_fitted(self.folds)
        scores = empty_scores(comparison, "kernel_density", 0.0)
        # The sums over runs below are squares: a few examples at a time keep them in the cache.
        step = max(1, BLOCK_ELEMENTS // len(comparison.fold) ** 2)
        for columns, phi, label in comparison.blocks():
            scores.label[:, columns] = label
            for start in range(0, phi.shape[1], step):
                part = slice(start, start + step)
                odds = self._log_odds(comparison, phi[:, part], label[:, part])
                place = slice(columns.start + start, columns.start + start + odds.shape[1])
                scores.score[:, place] = np.where(label[:, part] >= 0, np.nan_to_num(odds), 0.0)
        return scores

    def _log_odds(self, comparison: Comparison, phi: np.ndarray, label: np.ndarray) -> np.ndarray:
        """`R x b`: log p1 - log p0, each run without its own fold."""
        logs = []
        for side in range(2):
            width = self._width(comparison, phi, label == side)
            logs.append(_log_density(phi, label == side, comparison.fold, width))
        return logs[1] - logs[0]

    def _width(self, comparison: Comparison, phi: np.ndarray, member: np.ndarray) -> np.ndarray:
        """`R x b`: of the kernels by which each run is judged."""
        if self.bandwidth > 0:
            return np.full(phi.shape, self.bandwidth)
        moments = leave_one_out(phi, member, comparison.fold, shadow=comparison.shadow)
        width = 0.9 * np.sqrt(moments.variance) * np.maximum(moments.num_shadows, 2) ** -0.2
        return np.maximum(width, MIN_BANDWIDTH)[comparison.fold]


def _log_density(phi: np.ndarray, member: np.ndarray, fold: np.ndarray, width: np.ndarray) -> np.ndarray:
    """`R x b`: log density at each run's phi, from the members of other folds."""
    x = phi.T
    most = max(1, int(member.sum(0).max(initial=0)))
    order = np.argsort(~member.T, axis=1, kind="stable")[:, :most]
    centre, owner = np.take_along_axis(x, order, axis=1), fold[order]
    present = np.take_along_axis(member.T, order, axis=1)
    usable = present[:, None, :] & (owner[:, None, :] != fold[None, :, None])
    log_kernel = -0.5 * ((x[:, :, None] - centre[:, None, :]) / width.T[:, :, None]) ** 2
    log_kernel[~usable] = -np.inf
    top = log_kernel.max(axis=2, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    total = np.exp(log_kernel - top).sum(axis=2)
    count = usable.sum(axis=2)
    # No kernel reaches where no member is left; a uniform tail keeps the odds finite.
    log_density = np.log(np.maximum(total, np.finfo(np.float64).tiny)) + top[:, :, 0]
    log_density -= np.log(np.where(count > 0, count, np.nan))
    return log_density.T - np.log(width)
