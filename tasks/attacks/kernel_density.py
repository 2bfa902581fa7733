"""Per-example kernel densities over phi, as in RULI (arXiv:2506.13009): member iff p1 / (p1 + p0) > 1/2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.special import logsumexp

from tasks.attacks.base import register
from tasks.attacks.per_example import CrossFitted
from tasks.errors import AuditError
from tasks.shadows.games import Comparison, PerExampleScores, empty_scores
from tasks.shadows.moments import leave_one_out

BLOCK_ELEMENTS = 1_000_000
MIN_BANDWIDTH = 1e-3
UNDERFLOW = 1e-280
"""Sums of kernels beside the largest, below which they have lost digits and are formed on the log scale."""


@register("kernel_density")
@dataclass(frozen=True, kw_only=True)
class KernelDensity(CrossFitted):
    """Gaussian kernel density per example and hypothesis, each run scored without its own fold."""

    games: ClassVar[tuple[str, ...]] = ("G0", "G1", "G2", "G3")

    game: Literal["G0", "G1", "G2", "G3"] = "G2"
    """G2 is RULI's privacy leakage, G1 its efficacy."""
    bandwidth: float = 1.0
    """In units of phi; 1.0 is RULI's. 0 takes Silverman's 0.9 s n^(-1/5) for each example and hypothesis.
    A wide kernel loses where the spread differs between examples; but labels that are swapped share a kernel of
    one width: the p-values of 1,000 targets under 256 shadows take 1 s, and 18 s with 0 (lower `permutations`)."""

    def __post_init__(self) -> None:
        if self.bandwidth < 0:
            raise AuditError(f"bandwidth: expected at least 0, got {self.bandwidth}")
        super().__post_init__()

    def score(self, comparison: Comparison) -> PerExampleScores:
        """Log odds log p1 - log p0 of every run; the 1/2 rule is a threshold of 0."""
        return self._scores([comparison])[0]

    def score_permuted(self, comparison: Comparison, seeds: Sequence[int]) -> Iterable[PerExampleScores]:
        """Score under swapped labels; they share what depends on the statistics alone, the kernels."""
        return self._scores([comparison.permuted(seed) for seed in seeds])

    def _scores(self, comparisons: Sequence[Comparison]) -> list[PerExampleScores]:
        """Scores of comparisons that differ in their labels alone."""
        fitted = [comparison.cross_fitted(self.folds) for comparison in comparisons]
        found = [empty_scores(comparison, "kernel_density", 0.0) for comparison in fitted]
        fold, log_odds = fitted[0].fold, self._fixed_width if self.bandwidth > 0 else self._own_width
        # The sums over runs below are squares: a few examples at a time keep them in the cache.
        step = max(1, BLOCK_ELEMENTS // len(fold) ** 2)
        for columns, phi, label in fitted[0].blocks():
            labels = np.stack([label, *(c.block(columns)[1] for c in fitted[1:])])
            for start in range(0, phi.shape[1], step):
                part = slice(start, start + step)
                odds = log_odds(fitted[0], phi[:, part], labels[:, :, part])
                for k, scores in enumerate(found):
                    place = slice(columns.start + start, columns.start + start + odds.shape[2])
                    scores.label[:, place] = labels[k, :, part]
                    scores.score[:, place] = np.where(labels[k, :, part] >= 0, np.nan_to_num(odds[k]), 0.0)
        return found

    def _own_width(self, comparison: Comparison, phi: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """`P x R x b`: kernels as wide as the runs of each fit are spread, so each labelling has its own."""
        odds = []
        for label in labels:
            logs = []
            for side in range(2):
                moments = leave_one_out(phi, label == side, comparison.fold, shadow=comparison.shadow)
                width = 0.9 * np.sqrt(moments.variance) * np.maximum(moments.num_shadows, 2) ** -0.2
                width = np.maximum(width, MIN_BANDWIDTH)[comparison.fold]
                logs.append(_log_density(phi, label == side, comparison.fold, width))
            odds.append(logs[1] - logs[0])
        return np.stack(odds)

    def _fixed_width(self, comparison: Comparison, phi: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """`P x R x b`: the kernel between two runs is one number; a density sums it over those of a side."""
        return _log_odds(phi / self.bandwidth, labels, comparison.fold)


def _log_odds(phi: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """`P x R x b`: log p1 - log p0 under kernels of width 1, each run without its own fold.

    Args:
        phi: `R x b`.
        labels: `P x R x b`, int8.
        fold: `R`.
    """
    order, playing = _first(np.any(labels >= 0, axis=0).T)
    x, owner = np.take_along_axis(phi.T, order, axis=1), fold[order]
    barred = (owner[:, :, None] == owner[:, None, :]) | ~playing[:, None, :]
    kernel = x[:, :, None] - x[:, None, :]
    np.multiply(kernel, kernel, out=kernel)
    np.copyto(kernel, np.inf, where=barred)
    nearest = kernel.min(axis=2, keepdims=True)
    # Beside the nearest run's: where all are far from a run, their ratios are not.
    kernel -= np.where(np.isfinite(nearest), nearest, 0.0)
    kernel *= -0.5
    np.exp(kernel, out=kernel)
    placed = np.take_along_axis(labels.transpose(2, 1, 0), order[:, :, None], axis=1)
    logs = []
    for side in (1, 0):
        member = (placed == side) & playing[:, :, None]
        count = np.take_along_axis(_others(labels == side, fold), order[:, :, None], axis=1)
        total = kernel @ member.astype(np.float64)
        with np.errstate(divide="ignore"):
            log_density = np.log(total) - np.log(np.where(count > 0, count, np.nan))
        lost = np.nonzero((total < UNDERFLOW) & (count > 0))
        for start in range(0, len(lost[0]), BLOCK_ELEMENTS // x.shape[1]):
            at = example, run, k = tuple(
                index[start : start + BLOCK_ELEMENTS // x.shape[1]] for index in lost
            )
            far = (x[example] - x[example, run][:, None]) ** 2 - nearest[example, run]
            outside = barred[example, run] | ~member[example, :, k]
            log_density[at] = logsumexp(np.where(outside, -np.inf, -0.5 * far), axis=1) - np.log(count[at])
        logs.append(log_density)
    odds = np.full(placed.shape[:1] + labels.shape[1::-1], np.nan)
    np.put_along_axis(odds, order[:, :, None], logs[0] - logs[1], axis=1)
    return odds.transpose(2, 1, 0)


def _first(wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the wanted in each row before the others, as many as the fullest row has; and which are wanted."""
    most = max(1, int(wanted.sum(1).max(initial=0)))
    order = np.argsort(~wanted, axis=1, kind="stable")[:, :most]
    return order, np.take_along_axis(wanted, order, axis=1)


def _others(member: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """`b x R x P`: members (`P x R x b`) in other folds than each run's."""
    by_fold = np.stack([member[:, fold == one].sum(1) for one in range(int(fold.max()) + 1)], axis=1)
    return (by_fold.sum(1, keepdims=True) - by_fold)[:, fold].transpose(2, 1, 0)


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
