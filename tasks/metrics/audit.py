"""What a per-example attack says of one cell: rows of metrics, and how many examples it tells apart.

Nothing here is scored on the shadows that chose it: vulnerable examples are selected on one half of the pairs
and reported on the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Direction, Metric, MetricValue
from tasks.metrics.membership import (
    AUC,
    BALANCED_ACCURACY,
    REALISED_FPR,
    SPLIT_OF_GAME,
    TPR_AT_FPR,
)
from tasks.metrics.per_example import Discoveries, auc_by_example
from tasks.metrics.two_way import (
    Estimate,
    mean_balanced_accuracy,
    mean_example_auc,
    pooled_auc,
    tpr_at_fpr,
)
from tasks.shadows.games import PerExampleScores


def _count_of(name: str, about: str, higher_is: Direction, *, no_interval: str = "") -> Metric:
    return Metric(
        name=name,
        about=about,
        low=0,
        high=float("inf"),
        kind="forgetting",
        higher_is=higher_is,
        error="none",
        no_interval=no_interval or "it is counted, not estimated",
        margin=None,
        margin_because="how many there are depends on the size of the forget set",
    )


EXAMPLES_TESTED = _count_of("examples_tested", "examples with enough shadow models on both sides", "better")
EXAMPLES_EXCLUDED = _count_of("examples_excluded", "examples with too few shadow models on a side", "worse")
RUNS_MISSING = _count_of("runs_missing", "runs of shadow models that failed and are in no number", "worse")
EXAMPLES_VULNERABLE = _count_of(
    "examples_vulnerable",
    "single examples told apart at a false-discovery rate (`param`)",
    "worse",
    no_interval="the rate bounds the expected share of false ones instead",
)
EXAMPLES_SIGNIFICANT = _count_of(
    "examples_significant",
    "single examples with a p-value of at most `param`; param x n are expected by chance",
    "worse",
    no_interval="it is read against what chance gives",
)
COUNTS = (EXAMPLES_TESTED, EXAMPLES_EXCLUDED, RUNS_MISSING)
AGGREGATES = (AUC, BALANCED_ACCURACY, TPR_AT_FPR, REALISED_FPR, *COUNTS)
"""What every attack reports that scores single examples."""
DISCOVERIES = (EXAMPLES_VULNERABLE, EXAMPLES_SIGNIFICANT, *COUNTS)
"""What tests of single examples report."""
METRICS = (*AGGREGATES, EXAMPLES_VULNERABLE, EXAMPLES_SIGNIFICANT)


def aggregate(
    scores: PerExampleScores,
    reference: PerExampleScores | None = None,
    *,
    fprs: tuple[float, ...] = (0.01, 0.001),
) -> list[MetricValue]:
    """AUC at both grains, balanced accuracy, TPR at FPR with the rate realised, and the examples counted.

    `variant` is "statistic:grain": pooled over (model, example), or the mean of per-example values. A rate
    that the negatives cannot resolve is left out; `tasks.shadows.budget.shortfalls` tells it beforehand.

    Args:
        scores: of one attack in one game.
        reference: of the same attack and game on the reference's models, from the same shadow models: each
            difference is then paired.
        fprs: false-positive rates.
    """
    found = _estimates(scores, fprs)
    others = {} if reference is None else _estimates(reference, fprs)
    rows = [
        estimated(
            scores,
            declared,
            estimate,
            variant=f"{scores.statistic}:{key[1]}",
            param=key[2],
            reference=others[key][1] if key in others else None,
        )
        for key, (declared, estimate) in found.items()
    ]
    rows.append(counted(scores, EXAMPLES_TESTED, len(scores.example_ids)))
    rows.append(counted(scores, EXAMPLES_EXCLUDED, len(scores.excluded)))
    return rows


def _estimates(
    scores: PerExampleScores, fprs: tuple[float, ...]
) -> dict[tuple[str, str, float | None], tuple[Metric, Estimate]]:
    """By name of the metric, grain and false-positive rate."""
    found: list[tuple[Metric, str, float | None, Estimate]] = [
        (AUC, "pooled", None, pooled_auc(scores)),
        (AUC, "example_mean", None, mean_example_auc(scores)),
        (BALANCED_ACCURACY, "pooled", None, mean_balanced_accuracy(scores)),
    ]
    fewest = min(int((scores.label[scores.fold % 2 == half] == 0).sum()) for half in (0, 1))
    for fpr in fprs:
        if fewest * fpr > 1:
            point = tpr_at_fpr(scores, fpr)
            found.append((TPR_AT_FPR, "pooled", fpr, point.tpr))
            found.append((REALISED_FPR, "pooled", fpr, point.realised_fpr))
    return {(declared.name, grain, param): (declared, value) for declared, grain, param, value in found}


class Played(Protocol):
    """What a row is named after: scores of a game, or the game's tests."""

    @property
    def statistic(self) -> str:
        """What was compared."""
        ...

    @property
    def game(self) -> str:
        """G0 to G3."""
        ...


def estimated(
    scores: Played,
    declared: Metric,
    estimate: Estimate,
    *,
    variant: str,
    param: float | None = None,
    reference: Estimate | None = None,
) -> MetricValue:
    """A row of an estimate from these scores, under their game, and its difference to the reference's."""
    low, high = estimate.interval(declared.low, declared.high)
    row = MetricValue(
        declared=declared,
        split=SPLIT_OF_GAME.get(scores.game, "all"),
        value=estimate.value,
        ci_low=low,
        ci_high=high,
        n=estimate.n,
        game=scores.game,
        variant=variant,
        param=param,
    )
    return beside(row, estimate, reference)


def beside(row: MetricValue, estimate: Estimate, reference: Estimate | None) -> MetricValue:
    """A row with the paired difference to the reference's.

    Nothing is said where the two share no shadow models, and where no error can be seen.
    """
    apart = None if reference is None else estimate.minus(reference)
    if apart is None or apart.error == 0 or apart.df < 1:
        return row
    return replace(row, difference=apart.value, difference_error=apart.error, difference_df=float(apart.df))


def counted(scores: Played, declared: Metric, value: int) -> MetricValue:
    """A row that counts examples."""
    return MetricValue(
        declared=declared,
        split=SPLIT_OF_GAME.get(scores.game, "all"),
        value=float(value),
        ci_low=None,
        ci_high=None,
        n=value,
        game=scores.game,
        variant=scores.statistic,
    )


def runs_missing(game: str, *, planned: int, observed: int) -> MetricValue:
    """Runs of the shadow models that failed: they are in no other number of the cell."""
    return MetricValue(
        declared=RUNS_MISSING,
        split=SPLIT_OF_GAME.get(game, "all"),
        value=float(planned - observed),
        ci_low=None,
        ci_high=None,
        n=planned,
        game=game,
    )


def discovery_metrics(found: Discoveries, scores: Played) -> list[MetricValue]:
    """How many examples are told apart: at the false-discovery rate, and before correction.

    `param` is the rate; of `examples_significant` (p at most the rate), param x n are expected by chance.

    Args:
        found: of the tested examples.
        scores: names the statistic and the game.
    """
    counts = (
        (EXAMPLES_VULNERABLE, int(found.discovered.sum())),
        (EXAMPLES_SIGNIFICANT, found.uncorrected),
    )
    return [
        replace(counted(scores, declared, value), n=found.tested, param=found.rate)
        for declared, value in counts
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class SelectedExamples:
    """Examples that one half of the pairs called most vulnerable, judged by the other half."""

    example_ids: np.ndarray
    auc_selecting: np.ndarray
    """On the half that selected them: optimistic (winner's curse)."""
    mean_reported: Estimate


def select_and_report(
    selecting: PerExampleScores,
    reporting: PerExampleScores,
    *,
    share: float,
) -> SelectedExamples:
    """Pick the share of examples with the highest AUC on one half and measure them on the other.

    Args:
        selecting: scores of `Observations.of_half(0)`, fitted there.
        reporting: scores of `Observations.of_half(1)`, fitted there.
        share: of the examples present in both.

    Raises:
        AuditError: the halves share a shadow pair, or `share` selects nothing.
    """
    require_disjoint(selecting, reporting, "selection")
    common = np.intersect1d(selecting.example_ids, reporting.example_ids)
    count = int(share * len(common))
    if not 0 < share <= 1 or count < 1:
        raise AuditError(
            f"share: expected a number in (0, 1] that selects an example of {len(common)}, got {share}"
        )
    first = auc_by_example(selecting.of_examples(common))
    chosen = common[np.argsort(-first, kind="stable")[:count]]
    judged = reporting.of_examples(chosen)
    return SelectedExamples(
        example_ids=judged.example_ids,
        auc_selecting=first[np.isin(common, chosen)],
        mean_reported=mean_example_auc(judged),
    )


def require_disjoint(first: PerExampleScores, second: PerExampleScores, what: str) -> None:
    """Refuse scores of the same shadow pairs."""
    shared = np.intersect1d(first.shadow // 2, second.shadow // 2)
    if len(shared):
        raise AuditError(
            f"{what}: expected scores from different halves of the pairs, {len(shared)} are in both"
        )
