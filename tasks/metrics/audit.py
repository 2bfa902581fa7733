"""What a per-example attack says of one cell: rows of metrics, calibrated claims about single examples.

Nothing here is scored on the shadows that chose it: vulnerable examples are selected on one half of the pairs
and reported on the other, and retain harm takes "before" and "after" from different halves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tasks.attacks.base import CrossFitted
from tasks.attacks.example_epsilon import ExampleEpsilons, forgetting_scores
from tasks.errors import AuditError
from tasks.metrics.base import Direction, Metric
from tasks.metrics.membership import SPLIT_OF_GAME
from tasks.metrics.pair_bootstrap import (
    Estimate,
    example_auc_replicates,
    mean_balanced_accuracy,
    mean_example_auc,
    pooled_auc,
    resample,
    stretch,
    stretched_interval,
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
from tasks.shadows.games import Comparison, PerExampleScores, compare
from tasks.shadows.observations import Observations
from tasks.statistics.intervals import CONFIDENCE

Score = Callable[[Comparison], PerExampleScores]


def aggregate(
    scores: PerExampleScores,
    *,
    fprs: tuple[float, ...] = (0.01, 0.001),
    repeats: int = 200,
    seed: int = 0,
) -> list[Metric]:
    """AUC at both grains, balanced accuracy, TPR at FPR with the rate realised, and the examples counted.

    `variant` is "statistic:grain": pooled over (model, example), or the mean of per-example values. A rate
    that the negatives cannot resolve is left out; `tasks.shadows.budget.shortfalls` tells it beforehand.

    Args:
        scores: of one attack in one game.
        fprs: false-positive rates.
        repeats: bootstrap resamples.
        seed: of the resamples.
    """
    draws = resample(scores, generator=numpy_generator("cluster bootstrap", seed), repeats=repeats)

    def row(metric: str, grain: str, estimate: Estimate, **more: float) -> Metric:
        return _row(scores, metric, grain, estimate, "closer_to_retrained", **more)

    rows = [
        row("auc", "pooled", pooled_auc(scores, draws)),
        row("auc", "example_mean", mean_example_auc(scores, draws)),
        row("balanced_accuracy", "pooled", mean_balanced_accuracy(scores, draws)),
    ]
    fewest = min(int((scores.label[scores.fold % 2 == half] == 0).sum()) for half in (0, 1))
    for fpr in fprs:
        if fewest * fpr > 1:
            point = tpr_at_fpr(scores, fpr, draws)
            rows.append(row("tpr_at_fpr", "pooled", point.tpr, param=fpr))
            rows.append(row("realised_fpr", "pooled", point.realised_fpr, param=fpr))
    rows.append(_count(scores, "examples_tested", len(scores.example_ids)))
    rows.append(_count(scores, "examples_excluded", len(scores.excluded)))
    return rows


def _row(
    scores: PerExampleScores, metric: str, grain: str, estimate: Estimate, higher_is: Direction, **more: float
) -> Metric:
    return Metric(
        metric=metric,
        split=SPLIT_OF_GAME.get(scores.game, "all"),
        value=estimate.value,
        ci_low=estimate.low,
        ci_high=estimate.high,
        n=estimate.n,
        higher_is=higher_is,
        game=scores.game,
        variant=f"{scores.statistic}:{grain}",
        param=more.get("param"),
    )


def _count(scores: PerExampleScores, metric: str, value: int) -> Metric:
    return Metric(
        metric=metric,
        split=SPLIT_OF_GAME.get(scores.game, "all"),
        value=float(value),
        ci_low=None,
        ci_high=None,
        n=value,
        higher_is="better" if metric == "examples_tested" else "worse",
        game=scores.game,
        variant=scores.statistic,
    )


def epsilon_metrics(result: ExampleEpsilons, *, statistic: str = "competition") -> list[Metric]:
    """The bound of the example that the choosing half singled out, its ceiling, the median example, and F.

    One example, chosen before its shadows were counted, keeps the stated confidence; the largest of all
    bounds would not. F is the competition's forgetting quality, from estimates without a bound, and so has no
    interval: read it against that of the retrained control, never against 1.
    """
    one = result.most_exposed()
    quality = forgetting_scores(result.empirical)
    forgetting = Metric(
        metric="forgetting_quality",
        value=float(quality.mean()),
        ci_low=None,
        ci_high=None,
        n=len(quality),
        higher_is="closer_to_retrained",
        variant=statistic,
        split=SPLIT_OF_GAME.get(result.game, "all"),
        game=result.game,
    )
    median = float(np.median(result.lower))
    rows = [
        ("epsilon_lower_bound", f"{statistic}:selected_example", float(result.lower[one])),
        ("epsilon_ceiling", f"{statistic}:selected_example", float(result.ceiling[one])),
        ("epsilon_lower_bound", f"{statistic}:example_median", median),
    ]
    counted = int(result.positives[one] + result.negatives[one])
    return [
        *(
            Metric(
                metric=metric,
                value=value,
                ci_low=value if metric == "epsilon_lower_bound" else None,
                ci_high=None,
                n=counted if "selected" in variant else len(result.lower),
                higher_is="worse" if metric == "epsilon_lower_bound" else "better",
                variant=variant,
                split=SPLIT_OF_GAME.get(result.game, "all"),
                game=result.game,
            )
            for metric, variant, value in rows
        ),
        forgetting,
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """Per-example AUC against what swapped labels give."""

    example_ids: np.ndarray
    auc: np.ndarray
    p_value: np.ndarray
    """`E`: share of null statistics at least as large."""
    found: Discoveries
    null_size: int
    """Null statistics behind the p-values."""


def calibrated_discoveries(
    attack: CrossFitted, comparison: Comparison, *, repeats: int = 20, seed: int = 0, rate: float = 0.05
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
        null_size=len(null),
    )


def discovery_metrics(calibrated: Calibrated, scores: PerExampleScores) -> list[Metric]:
    """How many examples are told apart: at the false-discovery rate, and before correction.

    `param` is the rate; of `examples_significant` (p at most the rate), param x n are expected by chance.

    Args:
        calibrated: of the tested examples.
        scores: names the statistic and the game.
    """
    found = calibrated.found
    counts = {"examples_vulnerable": int(found.discovered.sum()), "examples_significant": found.uncorrected}
    return [
        replace(_count(scores, name, value), n=found.tested, param=found.rate)
        for name, value in counts.items()
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class SelectedExamples:
    """Examples that one half of the pairs called most vulnerable, judged by the other half."""

    example_ids: np.ndarray
    auc_selecting: np.ndarray
    """On the half that selected them: optimistic (winner's curse)."""
    auc_reported: np.ndarray
    """On the other half."""
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
    _require_disjoint(selecting, reporting, "selection")
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
        auc_reported=auc_by_example(judged),
        mean_reported=mean_example_auc(judged, draws),
    )


def _require_disjoint(first: PerExampleScores, second: PerExampleScores, what: str) -> None:
    shared = np.intersect1d(first.base // 2, second.base // 2)
    if len(shared):
        raise AuditError(
            f"{what}: expected scores from different halves of the pairs, {len(shared)} are in both"
        )


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
    _require_disjoint(before, after, "retain harm")
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


def _share_worse(change: np.ndarray, moved: np.ndarray, weight: np.ndarray, longer: float) -> Estimate:
    """Resampling adds noise to each sign and draws the share to one half: its spread, around the value."""
    from scipy import stats

    value = float(((change > 0) + 0.5 * (change == 0)).mean())
    replicates = (((moved > 0) + 0.5 * (moved == 0)) * weight).sum(1)
    half = longer * float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * float(replicates.std(ddof=1))
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=len(change))
