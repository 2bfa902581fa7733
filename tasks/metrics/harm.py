"""Harm to retained examples: whether they are told apart more easily after unlearning than before.

"Before" and "after" are taken from different halves of the shadow pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.audit import require_disjoint
from tasks.metrics.base import Metric, MetricValue
from tasks.metrics.pair_bootstrap import (
    Estimate,
    example_auc_replicates,
    resample,
    stretch,
    stretched_interval,
)
from tasks.metrics.per_example import auc_by_example
from tasks.runtime.seeding import numpy_generator
from tasks.shadows.games import Comparison, PerExampleScores, compare
from tasks.shadows.observations import Observations
from tasks.statistics.intervals import CONFIDENCE

RETAIN_HARM_SHARE_WORSE, RETAIN_HARM_AUC_CHANGE = (
    Metric(
        name=name,
        about=about,
        low=low,
        high=1,
        kind="forgetting",
        higher_is="worse",
        error="pair_bootstrap",
        margin=0.05,
        margin_because="as of auc",
    )
    for name, about, low in (
        ("retain_harm_share_worse", "share of retained examples whose AUC rose; 0.5: nothing happened", 0),
        ("retain_harm_auc_change", "mean change of the AUC of retained examples by unlearning", -1),
    )
)
METRICS = (RETAIN_HARM_SHARE_WORSE, RETAIN_HARM_AUC_CHANGE)
Score = Callable[[Comparison], PerExampleScores]


@dataclass(frozen=True, kw_only=True, eq=False)
class RetainHarm:
    """Whether an attack tells retained examples apart more easily after unlearning than before."""

    example_ids: np.ndarray
    change: np.ndarray
    """`E`: AUC after minus before, from different shadows."""
    share_worse: Estimate
    """Share of examples whose AUC rose (ties one half); 0.5 where nothing happened."""
    mean_change: Estimate


def harm_games(after: Observations, base: Observations) -> tuple[Comparison, Comparison]:
    """Game G3 before and after unlearning, on different halves of the shadow pairs.

    "Before" is G0 on the runs, states and draws of "after": where nothing happened, the two have one
    distribution, whatever the attack. The halves are of equal size.

    Args:
        after: runs of the unlearned models.
        base: runs of the same shadows before they unlearned.
    """
    before = after.before(base)
    pairs = np.unique(before.pair)
    half = len(pairs) // 2
    first, second = pairs[0 : 2 * half : 2], pairs[1 : 2 * half : 2]
    return compare(before.of_pairs(first), "G3"), compare(after.of_pairs(second), "G3")


def retain_harm(
    score: Score,
    games: tuple[Comparison, Comparison],
    *,
    repeats: int = 200,
    seed: int = 0,
) -> RetainHarm:
    """Change of the AUC that one attack, under the same options, reaches for each retained example.

    Call it a second time with retrained models and print both: "x % got worse" is 50 % when nothing happened,
    and retraining without the forgotten may expose others too (the onion effect).

    Args:
        score: the attack, in game G3.
        games: before and after, of `harm_games`.
        repeats: bootstrap resamples of pairs (of both halves) and examples.
        seed: of the resamples.

    Raises:
        AuditError: a game is not G3, or the halves share a pair.
    """
    if any(game.game != "G3" for game in games):
        raise AuditError(f"retain harm: expected game G3, got {', '.join(game.game for game in games)}")
    before, after = (score(game) for game in games)
    require_disjoint(before, after, "retain harm")
    common = np.intersect1d(before.example_ids, after.example_ids)
    first, second = before.of_examples(common), after.of_examples(common)
    change = auc_by_example(second) - auc_by_example(first)
    generator = numpy_generator("retain harm", seed)
    draws = [resample(scores, generator=generator, repeats=repeats) for scores in (first, second)]
    auc = [
        example_auc_replicates(scores, draw.pairs)
        for scores, draw in zip((first, second), draws, strict=True)
    ]
    moved, weight = auc[1] - auc[0], draws[0].examples * np.isfinite(auc[1] - auc[0])
    moved = np.nan_to_num(moved)
    total = np.maximum(weight.sum(1), 1)
    means = (moved * weight).sum(1) / total
    value, pairs = float(change.mean()), draws[0].pairs.shape[1]
    low, high = stretched_interval(value, means, pairs=pairs)
    return RetainHarm(
        example_ids=common,
        change=change,
        share_worse=_share_worse(change, moved, weight / total[:, None], stretch(pairs)),
        mean_change=Estimate(value=value, low=low, high=high, n=len(common)),
    )


def harm_metrics(harm: RetainHarm) -> list[MetricValue]:
    """Share of the retained examples that got worse, and the mean change."""
    found = ((RETAIN_HARM_SHARE_WORSE, harm.share_worse), (RETAIN_HARM_AUC_CHANGE, harm.mean_change))
    return [
        MetricValue(
            declared=declared,
            split="retain",
            value=estimate.value,
            ci_low=estimate.low,
            ci_high=estimate.high,
            n=len(harm.example_ids),
            game="G3",
        )
        for declared, estimate in found
    ]


def _share_worse(change: np.ndarray, moved: np.ndarray, weight: np.ndarray, longer: float) -> Estimate:
    """Resampling adds noise to each sign and draws the share to one half: its spread, around the value."""
    from scipy import stats

    value = float(((change > 0) + 0.5 * (change == 0)).mean())
    replicates = (((moved > 0) + 0.5 * (moved == 0)) * weight).sum(1)
    half = longer * float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * float(replicates.std(ddof=1))
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=len(change))
