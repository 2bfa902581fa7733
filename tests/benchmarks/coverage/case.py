"""A case: data drawn with a known truth, the estimate that Lethe makes of them, and how often its interval holds."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from tasks.metrics.base import MetricValue

REQUIRED = 0.93
"""Coverage that is asked of a nominal 95 %."""
CHANCE = 1e-3
"""Of finding a required coverage refuted that is just met."""
WIDE = 0.98
"""Coverage above which the width is worth a look."""


class Seen(NamedTuple):
    """One estimate, or arrays of one over runs; an open side is infinite."""

    value: np.ndarray | float
    low: np.ndarray | float
    high: np.ndarray | float
    truth: np.ndarray | float


Simulate = Callable[[np.random.Generator, int], Mapping[str, Seen]]
"""So many runs: by estimate, arrays over the runs."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One population and sample size."""

    family: str
    """Module that it stands in."""
    name: str
    """Population and size, in words."""
    estimates: tuple[str, ...]
    """Metrics, macros or columns that `simulate` gives."""
    simulate: Simulate
    fast: int = 0
    """Runs in the suite; 0 leaves it out."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What a case showed of one estimate."""

    case: Case
    estimate: str
    runs: int
    held: int
    """Runs whose interval holds the truth."""
    width: float
    """Mean width; infinite where a side is open."""
    ideal: float
    """Width of the middle 95 % of the estimate itself: of an interval that knew its distribution."""

    @property
    def share(self) -> float:
        """Measured coverage."""
        return self.held / self.runs

    @property
    def short(self) -> bool:
        """Whether these runs refute the required coverage, which one that is just met passes but for `CHANCE`."""
        return stats.binomtest(self.held, self.runs, REQUIRED, alternative="less").pvalue < CHANCE


def measure(case: Case, runs: int) -> list[Coverage]:
    """Run a case; its random stream depends on its name alone."""
    generator = np.random.default_rng([zlib.crc32(case.family.encode()), zlib.crc32(case.name.encode())])
    shown = []
    for estimate, seen in case.simulate(generator, runs).items():
        value, low, high, truth = np.broadcast_arrays(*seen)
        slack = 1e-9 * (1 + np.abs(truth))  # an end that equals the truth but for rounding holds it
        held = (low <= truth + slack) & (truth <= high + slack)
        first, last = np.quantile(value, [0.025, 0.975])
        shown.append(
            Coverage(
                case=case,
                estimate=estimate,
                runs=len(value),
                held=int(held.sum()),
                width=float(np.mean(high - low)),
                ideal=float(last - first),
            )
        )
    return shown


def one_by_one(draw: Callable[[np.random.Generator], Mapping[str, Seen]]) -> Simulate:
    """A simulation that draws and estimates run by run."""

    def simulate(generator: np.random.Generator, runs: int) -> dict[str, Seen]:
        drawn = [draw(generator) for _ in range(runs)]
        return {name: Seen(*np.array([one[name] for one in drawn], dtype=np.float64).T) for name in drawn[0]}

    return simulate


def about_their_mean(simulate: Simulate) -> Simulate:
    """For estimates of their own expectation, where the population gives none in closed form."""

    def centred(generator: np.random.Generator, runs: int) -> dict[str, Seen]:
        seen = simulate(generator, runs)
        return {name: one._replace(truth=np.full(runs, np.mean(one.value))) for name, one in seen.items()}

    return centred


def seen(row: MetricValue, truth: float) -> Seen:
    """A row of the `metrics` table beside its truth."""
    return Seen(
        row.value,
        -np.inf if row.ci_low is None else row.ci_low,
        np.inf if row.ci_high is None else row.ci_high,
        truth,
    )


def names(cases: Iterable[Case]) -> set[str]:
    """All estimates of some cases."""
    return {name for case in cases for name in case.estimates}
