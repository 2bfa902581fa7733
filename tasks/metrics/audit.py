"""What a per-example attack says of one cell: rows of metrics, calibrated claims about single examples.

Nothing here is scored on the shadows that chose it: vulnerable examples are selected on one half of the pairs
and reported on the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from tasks.metrics.pair_bootstrap import (
    Estimate,
    mean_balanced_accuracy,
    mean_example_auc,
    pooled_auc,
    resample,
    tpr_at_fpr,
)
from tasks.metrics.per_example import (
    Discoveries,
    auc_by_example,
    auc_error,
    discoveries,
    shadows_per_side,
)
from tasks.runtime.seeding import numpy_generator
from tasks.shadows.games import Comparison, PerExampleScores


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
METRICS = (
    AUC,
    BALANCED_ACCURACY,
    TPR_AT_FPR,
    REALISED_FPR,
    EXAMPLES_TESTED,
    EXAMPLES_EXCLUDED,
    RUNS_MISSING,
    EXAMPLES_VULNERABLE,
    EXAMPLES_SIGNIFICANT,
)


class Scorer(Protocol):
    """What calibration asks of an attack on single examples."""

    def score(self, comparison: Comparison) -> PerExampleScores:
        """Scores of every (run, example)."""
        ...

    def score_permuted(self, comparison: Comparison, seeds: Sequence[int]) -> Iterable[PerExampleScores]:
        """Scores under labels that are swapped with each seed."""
        ...


def aggregate(
    scores: PerExampleScores,
    *,
    fprs: tuple[float, ...] = (0.01, 0.001),
    repeats: int = 200,
    seed: int = 0,
) -> list[MetricValue]:
    """AUC at both grains, balanced accuracy, TPR at FPR with the rate realised, and the examples counted.

    `variant` is "statistic:grain": pooled over (model, example), or the mean of per-example values. A rate
    that the negatives cannot resolve is left out; `tasks.shadows.budget.shortfalls` tells it beforehand.

    Args:
        scores: of one attack in one game.
        fprs: false-positive rates.
        repeats: bootstrap resamples.
        seed: of the resamples.
    """
    # the pair bootstrap by an older word: a name of a random stream, and another would give other intervals
    draws = resample(scores, generator=numpy_generator("cluster bootstrap", seed), repeats=repeats)

    def row(declared: Metric, grain: str, estimate: Estimate, *, param: float | None = None) -> MetricValue:
        return estimated(scores, declared, estimate, variant=f"{scores.statistic}:{grain}", param=param)

    rows = [
        row(AUC, "pooled", pooled_auc(scores, draws)),
        row(AUC, "example_mean", mean_example_auc(scores, draws)),
        row(BALANCED_ACCURACY, "pooled", mean_balanced_accuracy(scores, draws)),
    ]
    fewest = min(int((scores.label[scores.fold % 2 == half] == 0).sum()) for half in (0, 1))
    for fpr in fprs:
        if fewest * fpr > 1:
            point = tpr_at_fpr(scores, fpr, draws)
            rows.append(row(TPR_AT_FPR, "pooled", point.tpr, param=fpr))
            rows.append(row(REALISED_FPR, "pooled", point.realised_fpr, param=fpr))
    rows.append(_count(scores, EXAMPLES_TESTED, len(scores.example_ids)))
    rows.append(_count(scores, EXAMPLES_EXCLUDED, len(scores.excluded)))
    return rows


def estimated(
    scores: PerExampleScores,
    declared: Metric,
    estimate: Estimate,
    *,
    variant: str,
    param: float | None = None,
) -> MetricValue:
    """A row of an estimate from these scores, under their game."""
    return MetricValue(
        declared=declared,
        split=SPLIT_OF_GAME.get(scores.game, "all"),
        value=estimate.value,
        ci_low=estimate.low,
        ci_high=estimate.high,
        n=estimate.n,
        game=scores.game,
        variant=variant,
        param=param,
    )


def _count(scores: PerExampleScores, declared: Metric, value: int) -> MetricValue:
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """Per-example AUC against what swapped labels give."""

    example_ids: np.ndarray
    auc: np.ndarray
    p_value: np.ndarray
    """`E`: share of null statistics at least as large."""
    found: Discoveries


def calibrated_discoveries(
    attack: Scorer, comparison: Comparison, *, repeats: int = 20, seed: int = 0, rate: float = 0.05
) -> Calibrated:
    """Which examples are told apart, at a controlled false-discovery rate.

    The null is the whole attack - fits included - on labels swapped within pairs, pooled over examples after
    division by each one's standard error. A leave-one-out AUC is no Mann-Whitney statistic (the direction is
    learnt), so normal theory would claim about twice too many examples.

    Args:
        attack: fitted anew under every permutation.
        comparison: the game.
        repeats: permutations; the smallest p-value is 1 / (repeats x examples + 1).
        seed: of the permutations.
        rate: false-discovery rate.
    """
    observed = attack.score(comparison)
    auc = auc_by_example(observed)
    spread = auc_error(np.full(len(auc), 0.5), shadows_per_side(observed))
    seeds = range(seed * repeats, (seed + 1) * repeats)
    swapped = attack.score_permuted(comparison, seeds)
    null = np.concatenate([(auc_by_example(scores) - 0.5) / spread for scores in swapped])
    null.sort()
    reached = len(null) - np.searchsorted(null, (auc - 0.5) / spread, side="left")
    p_value = (1 + reached) / (1 + len(null))
    return Calibrated(
        example_ids=observed.example_ids,
        auc=auc,
        p_value=p_value,
        found=discoveries(p_value, rate=rate),
    )


def discovery_metrics(calibrated: Calibrated, scores: PerExampleScores) -> list[MetricValue]:
    """How many examples are told apart: at the false-discovery rate, and before correction.

    `param` is the rate; of `examples_significant` (p at most the rate), param x n are expected by chance.

    Args:
        calibrated: of the tested examples.
        scores: names the statistic and the game.
    """
    found = calibrated.found
    counts = (
        (EXAMPLES_VULNERABLE, int(found.discovered.sum())),
        (EXAMPLES_SIGNIFICANT, found.uncorrected),
    )
    return [
        replace(_count(scores, declared, value), n=found.tested, param=found.rate)
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
    repeats: int = 200,
    seed: int = 0,
) -> SelectedExamples:
    """Pick the share of examples with the highest AUC on one half and measure them on the other.

    Args:
        selecting: scores of `Observations.of_half(0)`, fitted there.
        reporting: scores of `Observations.of_half(1)`, fitted there.
        share: of the examples present in both.
        repeats: bootstrap resamples.
        seed: of the resamples.

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
    draws = resample(judged, generator=numpy_generator("selection", seed), repeats=repeats)
    return SelectedExamples(
        example_ids=judged.example_ids,
        auc_selecting=first[np.isin(common, chosen)],
        mean_reported=mean_example_auc(judged, draws),
    )


def require_disjoint(first: PerExampleScores, second: PerExampleScores, what: str) -> None:
    """Refuse scores of the same shadow pairs."""
    shared = np.intersect1d(first.shadow // 2, second.shadow // 2)
    if len(shared):
        raise AuditError(
            f"{what}: expected scores from different halves of the pairs, {len(shared)} are in both"
        )
