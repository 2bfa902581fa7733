"""Bounds of epsilon for single examples, and what is told of them: one chosen example, the median, and F."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.membership import EPSILON_CEILING, EPSILON_LOWER_BOUND, SPLIT_OF_GAME
from tasks.shadows.observations import named_by
from tasks.statistics.epsilon import EPSILON_CAP

FORGETTING_QUALITY = Metric(
    name="forgetting_quality",
    about="F of the NeurIPS 2023 competition: mean score of the forget examples by their epsilon",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="none",
    no_interval="it is a mean of estimates of epsilon that are themselves without a bound",
    margin=None,
    margin_because="without an interval no difference can be shown to be small",
)
STATISTIC = "example_epsilon"
"""What rows of it are named after."""
METRICS = (EPSILON_LOWER_BOUND, EPSILON_CEILING, FORGETTING_QUALITY)


@dataclass(frozen=True, kw_only=True, eq=False)
class ExampleEpsilons:
    """Lower bounds of epsilon, one per example, each valid at 95 % on its own."""

    game: str
    statistic: str
    """What was read of each example."""
    example_ids: np.ndarray
    lower: np.ndarray
    """`E`, float64, at least 0: rule chosen on one half of the pairs, counted on the other."""
    chosen: np.ndarray
    """`E`: the bound on the half that chose the rule; optimistic, only for picking examples."""
    ceiling: np.ndarray
    """`E`: what `lower` would be under perfect separation with these counts."""
    empirical: np.ndarray
    """`E`: the competition's estimate without a bound (`competition_epsilon`), over all pairs."""
    positives: np.ndarray
    """`E`: shadows counted under H1 (one observation each)."""
    negatives: np.ndarray

    def most_exposed(self) -> int:
        """Position of the example with the largest bound on the choosing half; report `lower` there."""
        return int(np.argmax(self.chosen))


def forgetting_scores(epsilon: np.ndarray) -> np.ndarray:
    """H of each example: 2 / 2^n, n the bin of width 0.5 from 1; 0 where a rule made no error. Their mean is F.

    The competition's bins end at the first whole number above log(models - 1), which no rule with an error reaches.
    F = 1 is out of reach: the retrained control against itself gives the value to compare with.
    """
    return np.where(epsilon < EPSILON_CAP, 0.5 ** np.floor(epsilon / 0.5), 0.0)


def epsilon_metrics(result: ExampleEpsilons) -> list[MetricValue]:
    """The bound of the example that the choosing half singled out, its ceiling, the median example, and F.

    One example, chosen before its shadows were counted, keeps the stated confidence; the largest of all
    bounds would not. F is the competition's forgetting quality, from estimates without a bound, and so has no
    interval: read it against that of the retrained control, never against 1.
    """
    one = result.most_exposed()
    quality = forgetting_scores(result.empirical)
    counted = int(result.positives[one] + result.negatives[one])
    lower, median = float(result.lower[one]), float(np.median(result.lower))
    named = named_by(STATISTIC, result.statistic)
    selected, middle = f"{named}:selected_example", f"{named}:example_median"

    def row(declared: Metric, variant: str, value: float, n: int, low: float | None = None) -> MetricValue:
        return MetricValue(
            declared=declared,
            split=SPLIT_OF_GAME.get(result.game, "all"),
            value=value,
            ci_low=low,
            ci_high=None,
            n=n,
            game=result.game,
            variant=variant,
        )

    return [
        row(EPSILON_LOWER_BOUND, selected, lower, counted, lower),
        row(EPSILON_CEILING, selected, float(result.ceiling[one]), counted),
        row(EPSILON_LOWER_BOUND, middle, median, len(result.lower), median),
        row(FORGETTING_QUALITY, named, float(quality.mean()), len(quality)),
    ]
