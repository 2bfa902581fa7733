"""Means and variances with one fold left out, in closed form from partial sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma

MAX_PRIOR_FREEDOM = 1e4


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOut:
    """Moments of one hypothesis for every left-out fold: arrays `folds x examples`."""

    bases: np.ndarray
    """Distinct shadows behind the fit: its effective sample size."""
    mean: np.ndarray
    """NaN where no shadow is left: the score must then say nothing."""
    variance: np.ndarray
    """Unbiased if the draws of a shadow were identical: sum of squares / (n (1 - 1/bases))."""

    @property
    def freedom(self) -> np.ndarray:
        """Degrees of freedom of the variance."""
        return np.maximum(self.bases - 1, 0)


def fold_sums(
    values: np.ndarray, member: np.ndarray, fold: np.ndarray, num_folds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count and sum of the members in each fold.

    Args:
        values: `R x b`.
        member: `R x b`, bool.
        fold: `R`, in [0, num_folds).
        num_folds: number of folds.

    Returns:
        count and sum, `num_folds x b`, float64.
    """
    order = np.argsort(fold, kind="stable")
    present, starts = np.unique(fold[order], return_index=True)
    count, total = np.zeros((2, num_folds, values.shape[1]))
    count[present] = np.add.reduceat(member[order].astype(np.float64), starts, axis=0)
    total[present] = np.add.reduceat(np.where(member, values, 0.0)[order], starts, axis=0)
    return count, total


def balancing_drop(present: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """For every fold without this hypothesis, one random fold that has it, to be dropped as well.

    A fold that holds an H1 run takes it out of the H1 fit; one that holds none would leave the fit one
    shadow larger, and the size of the fit would tell the label of what is scored.

    Args:
        present: `folds x b`, bool: whether the fold has the hypothesis.
        generator: of the choice.

    Returns:
        `folds x b`, int: the fold to drop, or -1.
    """
    keys = np.where(present, generator.random(present.shape), np.inf)
    order = np.argsort(keys, axis=0)
    have = np.maximum(present.sum(0), 1)
    missing = np.cumsum(~present, axis=0) - 1
    drop = np.take_along_axis(order, np.where(present, 0, missing % have), axis=0)
    return np.where(present, -1, drop)


def leave_one_out(
    values: np.ndarray,
    member: np.ndarray,
    fold: np.ndarray,
    *,
    base: np.ndarray,
    generator: np.random.Generator | None = None,
) -> LeftOut:
    """Moments of the members with each fold left out.

    Args:
        values: `R x b`, float64.
        member: `R x b`, bool: the runs of one hypothesis.
        fold: `R`: left out together, from 0.
        base: `R`: shadow of each run; its draws are not independent samples.
        generator: applies the count-leak fix (`balancing_drop`) when given.
    """
    num_folds = int(fold.max()) + 1
    number = np.maximum(member.sum(0), 1)
    centre = np.where(member, values, 0.0).sum(0) / number
    centred = values - centre
    count, total = fold_sums(centred, member, fold, num_folds)
    _, squares = fold_sums(centred**2, member, fold, num_folds)
    bases = _bases_by_fold(member, fold, base, num_folds)
    parts = (count, total, squares, bases)
    rest = [part.sum(0) - part for part in parts]
    if generator is not None:
        drop = balancing_drop(count > 0, generator)
        chosen = np.maximum(drop, 0)
        # Only where a spare shadow remains: a fit of two is worth more than a balanced fit of one.
        spare = (drop >= 0) & (rest[3] - np.take_along_axis(bases, chosen, axis=0) >= 2)
        rest = [
            left - np.where(spare, np.take_along_axis(part, chosen, axis=0), 0.0)
            for left, part in zip(rest, parts, strict=True)
        ]
    n, s, q, bases = rest
    some = np.maximum(n, 1)
    mean = s / some
    scatter = np.maximum(q - some * mean**2, 0.0)
    shadows = np.maximum(bases, 1)
    freedom = some * (1 - 1 / shadows)
    variance = np.divide(scatter, freedom, out=np.zeros_like(scatter), where=bases > 1)
    return LeftOut(bases=bases, mean=np.where(n > 0, mean + centre, np.nan), variance=variance)


def _bases_by_fold(member: np.ndarray, fold: np.ndarray, base: np.ndarray, num_folds: int) -> np.ndarray:
    shadows, index = np.unique(base, return_inverse=True)
    count, _ = fold_sums(np.zeros(member.shape), member, index.reshape(-1), len(shadows))
    owner = np.zeros(len(shadows), dtype=np.int64)
    owner[index.reshape(-1)] = fold
    if len(np.unique(np.stack([index.reshape(-1), fold]), axis=1).T) > len(shadows):
        # Folds finer than shadows (a diagnosis of the dependence, never the default): count runs.
        return fold_sums(np.zeros(member.shape), member, fold, num_folds)[0]
    return fold_sums(np.zeros(count.shape), count > 0, owner, num_folds)[0]


@dataclass(eq=False)
class PooledVariance:
    """Within-example variances of all examples, for every left-out fold; filled block by block."""

    num_folds: int

    def __post_init__(self) -> None:
        names = ("scatter", "freedom", "count", "log", "log_squared", "noise")
        self._sums = {name: np.zeros(self.num_folds) for name in names}

    def add(self, moments: LeftOut) -> None:
        """Add the examples of a block."""
        half = np.maximum(moments.freedom, 1) / 2
        known = (moments.variance > 0) & (moments.freedom > 0)
        centred = np.log(np.where(known, moments.variance, 1.0)) - digamma(half) + np.log(half)
        parts = {
            "scatter": moments.variance * moments.freedom,
            "freedom": moments.freedom,
            "count": known,
            "log": centred * known,
            "log_squared": centred**2 * known,
            "noise": polygamma(1, half) * known,
        }
        for name, part in parts.items():
            self._sums[name] += part.sum(1)

    @property
    def value(self) -> np.ndarray:
        """`folds`: mean variance weighted by degrees of freedom, at least a tiny positive number."""
        pooled = self._sums["scatter"] / np.maximum(self._sums["freedom"], 1)
        return np.maximum(pooled, np.finfo(np.float32).tiny)

    def prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Degrees of freedom and variance of the inverse chi-squared prior (Smyth 2004, section 6.2).

        The spread of the log variances beyond their sampling noise says how unlike the examples are: alike,
        the prior dominates; unlike, each example keeps its own variance.

        Returns:
            prior degrees of freedom and prior variance, each `folds`.
        """
        count = np.maximum(self._sums["count"], 1)
        mean = self._sums["log"] / count
        beyond = self._sums["log_squared"] / count - mean**2 - self._sums["noise"] / count
        freedom = 2 * _inverse_trigamma(np.maximum(beyond, polygamma(1, MAX_PRIOR_FREEDOM / 2)))
        variance = np.exp(mean + digamma(freedom / 2) - np.log(freedom / 2))
        return freedom, np.where(self._sums["count"] > 1, variance, self.value)


def _inverse_trigamma(value: np.ndarray) -> np.ndarray:
    """Solve trigamma(y) = value by Newton's method on 1 / trigamma, which is nearly linear (Smyth 2004)."""
    y = 0.5 + 1 / value
    for _ in range(8):
        trigamma = polygamma(1, y)
        y = y + trigamma * (1 - trigamma / value) / polygamma(2, y)
    return y


def shrink(moments: LeftOut, prior: np.ndarray, weight: np.ndarray | float, floor: np.ndarray) -> np.ndarray:
    """Per-example variance drawn towards a prior one, never below a floor.

    Args:
        moments: `folds x b`.
        prior: `folds`, prior variance.
        weight: `folds` or a number, prior degrees of freedom; 0 keeps the per-example variance.
        floor: `folds`, smallest variance.
    """
    pseudo = np.broadcast_to(weight, prior.shape)[:, None]
    total = moments.freedom + pseudo
    mixed = (moments.freedom * moments.variance + pseudo * prior[:, None]) / np.maximum(total, 1e-12)
    return np.maximum(np.where(total > 0, mixed, prior[:, None]), floor[:, None])
