"""The power that a plan promises, next to simulated audits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tasks.statistics.power import difference_told_apart, equivalence_power, standard_error

RUNS = 40_000
SD = 0.01


def simulated(seeds: int, difference: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean difference, its standard error and degrees of freedom in `RUNS` audits, as a verdict would have them."""
    generator = np.random.default_rng(seeds)
    judged, first, second = SD * generator.normal(size=(3, RUNS, seeds))
    contrast, floor = judged + difference - (first + second) / 2, first - second
    of_judged = judged.var(1, ddof=1) / seeds
    of_retrained = (floor**2).mean(1) / 2 / (2 * seeds)
    variance = of_judged + of_retrained
    satterthwaite = variance**2 / (of_judged**2 / (seeds - 1) + of_retrained**2 / seeds)
    df = seeds - 1 + (1 - 1 / seeds) * (satterthwaite - seeds + 1)
    return contrast.mean(1), np.sqrt(variance), df


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("level", [0.05, 0.0125])
def test_the_difference_is_found_as_often_as_promised(seeds: int, level: float) -> None:
    difference = difference_told_apart(SD, seeds, level=level, power=0.8)
    mean, error, df = simulated(seeds, difference)
    found = 2 * stats.t.sf(np.abs(mean / error), df) < level
    assert found.mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("margin", [0.01, 0.02, 0.04])
def test_equivalence_is_shown_as_often_as_promised(seeds: int, margin: float) -> None:
    mean, error, df = simulated(seeds, 0.0)
    shown = np.abs(mean) + stats.t.ppf(0.95, df) * error < margin
    assert equivalence_power(SD, seeds, margin, level=0.05) == pytest.approx(shown.mean(), abs=0.01)


def test_the_error_is_that_of_the_simulated_means() -> None:
    assert standard_error(SD, 3) == pytest.approx(simulated(3, 0.0)[0].std(), rel=0.02)


def test_models_that_do_not_spread_are_equivalent_within_any_margin() -> None:
    assert equivalence_power(0.0, 2, 0.01, level=0.05) == 1
    assert equivalence_power(0.0, 2, 0.0, level=0.05) == 0
