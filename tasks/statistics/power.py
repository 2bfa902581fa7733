"""What a comparison with two retrained models can decide, said before it is made.

Seed k gives the judged model m_k and two retrained ones, r_k and a_k, all of which spread by the sd s where nothing
differs. The mean of m_k - (r_k + a_k) / 2 over K seeds has the variance s^2 / K + s^2 / (2 K), estimated by the spread
of m (K - 1 degrees of freedom) and of r - a (K). Satterthwaite's of their sum, of which the part above K - 1 is shrunk
by 1 - 1 / K, are those of the verdict (orchestrator/results/verdict.sql). The power is averaged over what both
estimates may come out as, derived here: the noncentral t of their mean promises too much.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy import special

POINTS = 128
"""Quantiles of each estimated variance that are averaged over."""


def difference_told_apart(sd: float, seeds: int, *, level: float, power: float) -> float:
    """The difference that a two-sided t test at `level` finds with probability `power`.

    Args:
        sd: of one model over trainings.
        seeds: K, two or more: one seed has no variance.
        level: of the test.
        power: above `level` and below 1.
    """
    from scipy import optimize  # takes half a second

    critical = _critical(seeds, level / 2)

    def excess(shift: float) -> float:
        return float((special.ndtr(shift - critical) + special.ndtr(-shift - critical)).mean()) - power

    return float(optimize.brentq(excess, 0, 1e6)) * standard_error(sd, seeds)


def equivalence_power(sd: float, seeds: int, margin: float, *, level: float) -> float:
    """Probability that two one-sided t tests show a model equivalent which does not differ.

    Args:
        sd: of one model over trainings.
        seeds: K, two or more.
        margin: within which a difference counts as none.
        level: of each test.
    """
    if sd == 0:
        return float(margin > 0)
    room = margin / standard_error(sd, seeds) - _critical(seeds, level)
    return float(np.maximum(2 * special.ndtr(room) - 1, 0).mean())


def standard_error(sd: float, seeds: int) -> float:
    """Of the mean difference over seeds."""
    return sd * math.sqrt(1.5 / seeds)


@cache
def _critical(seeds: int, tail: float) -> np.ndarray:
    """Critical values in true standard errors: Student's quantile times the error that an audit may estimate."""
    middles = (np.arange(POINTS) + 0.5) / POINTS
    judged = (special.chdtri(seeds - 1, middles) / (seeds - 1) / 1.5)[:, None]
    retrained = (special.chdtri(seeds, middles) / seeds / 3)[None, :]
    ratio = judged + retrained
    satterthwaite = ratio**2 / (judged**2 / (seeds - 1) + retrained**2 / seeds)
    df = seeds - 1 + (1 - 1 / seeds) * (satterthwaite - seeds + 1)
    critical: np.ndarray = -special.stdtrit(df, tail) * np.sqrt(ratio)
    return critical
