"""How far two distributions are apart: the Kolmogorov-Smirnov distance of two samples of the same examples."""

from __future__ import annotations

import numpy as np

from tasks.statistics.intervals import CONFIDENCE
from tasks.statistics.roc import Estimate


def ks_distance(
    first: np.ndarray,
    second: np.ndarray,
    *,
    generator: np.random.Generator,
    groups: np.ndarray | None = None,
    resamples: int = 1000,
) -> Estimate:
    """Largest difference of the two distribution functions, with an interval that holds no difference where none is.

    A distance that is estimated is above 0 even where none is, and so are those of a bootstrap. Resamples say instead
    how far the difference of the functions strays anywhere from the one that is seen; the true distance is no farther
    from the estimate than that (derived here: wider than need be, by up to a half).

    Args:
        first, second: values of the same examples under two models, `n` each.
        generator: draws the resamples.
        groups: of whom each example is, `n`: groups are resampled; None, or all of one: examples.
        resamples: of the bootstrap.
    """
    n = len(first)
    units = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    if units.max(initial=0) == 0:
        units = np.arange(n)
    count = int(units.max(initial=0)) + 1
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    owner, sign = np.tile(np.arange(n), 2)[order], np.repeat([1.0, -1.0], n)[order]
    last_of_tie = np.append(np.diff(values[order]) > 0, True)

    def difference(weights: np.ndarray) -> np.ndarray:
        """Of the functions at every value, for weights of the examples `... x n`."""
        steps = weights[..., owner] * sign
        return steps.cumsum(axis=-1)[..., last_of_tie] / weights.sum(axis=-1, keepdims=True)

    seen = difference(np.ones(n))
    value = float(np.abs(seen).max())
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    strays = np.abs(difference(drawn[:, units].astype(np.float64)) - seen).max(axis=1)
    reach = float(np.quantile(strays, CONFIDENCE)) * np.sqrt(count / max(count - 1, 1))
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))
