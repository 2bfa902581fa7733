"""How well each single example is told apart, with intervals, and which examples that singles out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from tasks.errors import AuditError
from tasks.shadows.games import PerExampleScores
from tasks.shadows.observations import Observations, State
from tasks.statistics.intervals import clopper_pearson


@dataclass(frozen=True, kw_only=True, eq=False)
class ExampleTable:
    """One row per example: arrays of length `E`."""

    example_ids: np.ndarray
    positives: np.ndarray
    """Shadows under H1."""
    negatives: np.ndarray
    accuracy: np.ndarray
    """Balanced accuracy of accept/reject decisions."""
    accuracy_low: np.ndarray
    accuracy_high: np.ndarray
    auc: np.ndarray
    """Of the attack's scores. It has no interval: a fitted attack learns the direction of a weak signal from noise, and
    an interval that knows of the number of shadows alone held an AUC of .58 in .80 to .85 of simulations; the AUC of
    phi itself has one (`tasks.attacks.rank_test`)."""


def by_example(scores: PerExampleScores) -> ExampleTable:
    """Accuracy and AUC of every example; the number of shadows, not of draws, sets the interval.

    The interval of the accuracy does not end below one half: an attacker who does worse than chance has learnt a
    direction from noise, and the example is not better protected than by chance.
    """
    positives, negatives = shadows_per_side(scores)
    accuracy = balanced_accuracy(scores)
    low, high = accuracy_interval(accuracy, positives, negatives)
    return ExampleTable(
        example_ids=scores.example_ids,
        positives=positives,
        negatives=negatives,
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=np.maximum(high, 0.5),
        auc=auc_by_example(scores),
    )


def shadows_per_side(scores: PerExampleScores) -> np.ndarray:
    """Distinct shadows under H1 and under H0, `2 x E`, int64."""
    order = np.argsort(scores.shadow, kind="stable")
    starts = np.unique(scores.shadow[order], return_index=True)[1]
    present = [np.logical_or.reduceat((scores.label == side)[order], starts, axis=0) for side in (1, 0)]
    return np.stack([side.sum(0) for side in present])


def decide(scores: PerExampleScores) -> np.ndarray:
    """Accept or reject H1 for every run and example, `R x E`, bool.

    By the 1/2 rule where the attack has one; else by the threshold with the best pooled balanced accuracy
    on the other half of the folds, so that no shadow sets the threshold that judges it.
    """
    if scores.threshold is not None:
        return scores.decision
    decision = np.zeros(scores.score.shape, dtype=bool)
    for half in (0, 1):
        mine = scores.fold % 2 == half
        value, label = scores.score[~mine], scores.label[~mine]
        decision[mine] = scores.score[mine] > _best_threshold(value[label >= 0], label[label >= 0] == 1)
    return decision


def _best_threshold(value: np.ndarray, member: np.ndarray) -> float:
    order = np.argsort(value, kind="stable")
    ordered, positive = value[order], member[order]
    missed = np.cumsum(positive) / max(positive.sum(), 1)
    rejected = np.cumsum(~positive) / max((~positive).sum(), 1)
    last_of_tie = np.append(np.diff(ordered) > 0, True)
    gain = np.where(last_of_tie, rejected - missed, -np.inf)
    return float(ordered[int(gain.argmax())])


def balanced_accuracy(scores: PerExampleScores) -> np.ndarray:
    """(TPR + TNR) / 2 of each example, `E`."""
    decision = decide(scores)
    positive, negative = scores.label == 1, scores.label == 0
    tpr = (decision & positive).sum(0) / np.maximum(positive.sum(0), 1)
    tnr = (~decision & negative).sum(0) / np.maximum(negative.sum(0), 1)
    return (tpr + tnr) / 2


def accuracy_interval(
    accuracy: np.ndarray, positives: np.ndarray, negatives: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Clopper-Pearson interval of a balanced accuracy.

    Unequal sides count as 4 / (1/n1 + 1/n0) decisions, which has the variance of the mean of two rates;
    fractional counts (several draws of a shadow) are rounded outwards.
    """
    decisions = np.floor(4 / (1 / np.maximum(positives, 1) + 1 / np.maximum(negatives, 1)) + 1e-9)
    correct = accuracy * decisions
    low, _ = clopper_pearson(np.floor(correct + 1e-9), decisions)
    _, high = clopper_pearson(np.ceil(correct - 1e-9), decisions)
    return low, high


def comparisons_by_fold(scores: PerExampleScores) -> tuple[np.ndarray, np.ndarray]:
    """Comparisons that H1 wins against H0 (ties one half), and how many there are: each `folds x E`.

    An H1 and an H0 run are compared only where one fit scored both: across the folds of a cross-fit the
    learnt direction correlates with what was left out, and the null would lie below one half.
    """
    from scipy import stats  # takes a second

    folds = np.unique(scores.fold)
    above, compared = np.zeros((2, len(folds), len(scores.example_ids)))
    for number, one in enumerate(folds):
        rows = np.flatnonzero(scores.fold == one)
        label = scores.label[rows]
        positive, negative = (label == 1).sum(0), (label == 0).sum(0)
        # What is not in the game ranks last, where it moves no rank of what is.
        ranks = stats.rankdata(np.where(label >= 0, scores.score[rows], np.inf), axis=0)
        above[number] = (ranks * (label == 1)).sum(0) - positive * (positive + 1) / 2
        compared[number] = positive * negative
    return above, compared


def auc_by_example(scores: PerExampleScores) -> np.ndarray:
    """Area under each example's own ROC curve, compared within folds (`comparisons_by_fold`), `E`."""
    above, compared = (total.sum(0) for total in comparisons_by_fold(scores))
    return np.where(compared > 0, above / np.maximum(compared, 1), 0.5)


def by_any(p_value: np.ndarray, num_statistics: int) -> np.ndarray:
    """p-values of examples that are tested by several statistics, of which any may single one out (Bonferroni).

    Counted at a false-discovery rate, each statistic then has its share of the rate, and of the examples that any of
    them names no larger share is false than the rate. Statistics of one example are alike, so it errs on the safe side.

    Args:
        p_value: `E`, by one of the statistics.
        num_statistics: of the attack.
    """
    return np.minimum(p_value * num_statistics, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Discoveries:
    """Benjamini-Hochberg over the examples of one cell."""

    q_value: np.ndarray
    """`E`: the false-discovery rate at which the example would be reported."""
    discovered: np.ndarray
    """`E`, bool."""
    rate: float
    tested: int
    uncorrected: int
    """Examples with p below the rate, before correction."""
    expected_by_chance: float
    """How many of these the null alone would give: rate x tested."""


def discoveries(p_value: np.ndarray, *, rate: float = 0.05, num_statistics: int = 1) -> Discoveries:
    """Control the false-discovery rate across examples (Benjamini and Hochberg 1995).

    Args:
        p_value: `E`, of one statistic, not yet corrected.
        rate: accepted share of false discoveries.
        num_statistics: that are read of each example: what is discovered is so in any of them (`by_any`).
    """
    if not 0 < rate < 1:
        raise AuditError(f"rate: expected a number in (0, 1), got {rate}")
    count = len(p_value)
    of_any = by_any(p_value, num_statistics)
    order = np.argsort(of_any)
    scaled = of_any[order] * count / np.arange(1, count + 1)
    q_value = np.empty(count)
    q_value[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return Discoveries(
        q_value=q_value,
        discovered=q_value <= rate,
        rate=rate,
        tested=count,
        uncorrected=int((p_value <= rate).sum()),
        expected_by_chance=rate * count,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class ExampleRisk:
    """What base shadows say of each example before any unlearning: arrays of length `E`."""

    example_ids: np.ndarray
    memorisation: np.ndarray
    """Probability of the true label with the example in training, minus without (Feldman 2020, eq. 1)."""
    privacy_risk: np.ndarray
    """|mean_in - mean_out| / (s_in + s_out) of phi (Carlini et al. 2022, The Privacy Onion Effect)."""


def example_risk(base: Observations, *, of: Literal["correct", "confidence"] = "correct") -> ExampleRisk:
    """Memorisation and privacy risk of the examples that were in some shadows and out of others.

    Args:
        base: runs of base models; use one half of the pairs and report on the other.
        of: correct counts right answers as Feldman does; confidence averages the probability of the true
            label, which resolves more with few shadows.

    Raises:
        AuditError: answers were not recorded, or no example has two shadows on each side.
    """
    if of == "correct" and base.correct is None:
        raise AuditError("memorisation of 'correct': the observations hold no answers; use of='confidence'")
    inside = np.isin(base.state, (int(State.RETAINED), int(State.UNLEARNED)))
    outside = base.state == State.NEVER
    keep = (inside.sum(0) >= 2) & (outside.sum(0) >= 2)
    if not keep.any():
        raise AuditError("memorisation: expected examples with at least 2 shadows in and out, found none")
    inside, outside = inside[:, keep], outside[:, keep]
    phi = base.phi[:, keep].astype(np.float64)
    answer = expit(phi) if of == "confidence" or base.correct is None else base.correct[:, keep].astype(float)
    (mean_in, _), (mean_out, _) = _moments(answer, inside), _moments(answer, outside)
    (phi_in, spread_in), (phi_out, spread_out) = _moments(phi, inside), _moments(phi, outside)
    spread = np.sqrt(spread_in) + np.sqrt(spread_out)
    return ExampleRisk(
        example_ids=base.example_ids[keep],
        memorisation=mean_in - mean_out,
        privacy_risk=np.abs(phi_in - phi_out) / np.maximum(spread, 1e-6),
    )


def _moments(values: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = member.sum(0)
    mean = (values * member).sum(0) / count
    return mean, (((values - mean) * member) ** 2).sum(0) / (count - 1)
