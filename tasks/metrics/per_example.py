"""How well each single example is told apart, with intervals, and which examples that singles out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from scipy.special import expit

from tasks.errors import AuditError
from tasks.shadows.games import PerExampleScores
from tasks.shadows.observations import Observations, State
from tasks.statistics.intervals import CONFIDENCE, clopper_pearson


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
    auc_error: np.ndarray
    """Hanley-McNeil standard error at the numbers of shadows, combined over folds."""
    auc_low: np.ndarray
    auc_high: np.ndarray


def by_example(scores: PerExampleScores) -> ExampleTable:
    """Accuracy and AUC of every example; the number of shadows, not of draws, sets the intervals.

    No interval ends below one half: an attacker who does worse than chance has learnt a direction from noise,
    and the example is not better protected than by chance. What is covered is the accuracy of the best
    attacker; where a weak signal leaves the direction uncertain, the fitted one falls short of it: simulated
    intervals of nominal 95 % hold an AUC of .58 in .80 to .85 (16 to 128 shadows), from .76 on in .94 or more.
    """
    by_fold = shadows_per_side(scores)
    positives, negatives = by_fold.sum(1)
    accuracy = balanced_accuracy(scores)
    low, high = accuracy_interval(accuracy, positives, negatives)
    auc = auc_by_example(scores)
    auc_low, auc_high = auc_interval(auc, by_fold)
    return ExampleTable(
        example_ids=scores.example_ids,
        positives=positives,
        negatives=negatives,
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=np.maximum(high, 0.5),
        auc=auc,
        auc_error=auc_error(auc, by_fold),
        auc_low=auc_low,
        auc_high=np.maximum(auc_high, 0.5),
    )


def shadows_per_side(scores: PerExampleScores) -> np.ndarray:
    """Distinct shadows under H1 and under H0 in each fold, `2 x folds x E`, int64."""
    shadows, index = np.unique(scores.shadow, return_inverse=True)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(shadows)))
    folds = np.unique(scores.fold, return_inverse=True)[1].reshape(-1)[order][starts]
    counts = np.zeros((2, int(folds.max()) + 1, len(scores.example_ids)), dtype=np.int64)
    for row, side in enumerate((1, 0)):
        present = np.logical_or.reduceat((scores.label == side)[order], starts, axis=0)
        np.add.at(counts[row], folds, present)
    return counts


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


def auc_by_example(scores: PerExampleScores) -> np.ndarray:
    """Area under each example's own ROC curve (ties count one half), `E`.

    An H1 and an H0 run are compared only where one fit scored both: across the folds of a cross-fit the
    learnt direction correlates with what was left out, and the null would lie below one half.
    """
    above, compared = np.zeros((2, len(scores.example_ids)))
    for one in np.unique(scores.fold):
        rows = np.flatnonzero(scores.fold == one)
        label = scores.label[rows]
        positive, negative = (label == 1).sum(0), (label == 0).sum(0)
        # What is not in the game ranks last, where it moves no rank of what is.
        ranks = stats.rankdata(np.where(label >= 0, scores.score[rows], np.inf), axis=0)
        above += (ranks * (label == 1)).sum(0) - positive * (positive + 1) / 2
        compared += positive * negative
    return np.where(compared > 0, above / np.maximum(compared, 1), 0.5)


def hanley_mcneil(auc: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Standard error of an AUC (Hanley and McNeil 1982); .044 at AUC .5 with 64 and 128."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return np.sqrt(np.maximum(variance, 0.0) / (positives * negatives))


def auc_error(auc: np.ndarray, by_fold: np.ndarray) -> np.ndarray:
    """Standard error of an AUC whose comparisons stay within folds, weighted by their number.

    Args:
        auc: `E`.
        by_fold: `2 x folds x E`, as `shadows_per_side` gives it.
    """
    compared = by_fold[0] * by_fold[1]
    error = hanley_mcneil(auc[None], *np.maximum(by_fold, 1))
    return np.sqrt(((compared * error) ** 2).sum(0)) / np.maximum(compared.sum(0), 1)


def auc_interval(auc: np.ndarray, by_fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every AUC that lies within z of its own standard error of the estimate (score form, by bisection).

    Unlike estimate +- z SE it keeps its width at 0 and 1.
    """
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    ends = []
    for edge in (0.0, 1.0):
        outside, inside = np.full(auc.shape, edge), auc.copy()
        for _ in range(30):
            middle = (outside + inside) / 2
            covered = np.abs(auc - middle) <= z * auc_error(middle, by_fold)
            inside, outside = np.where(covered, middle, inside), np.where(covered, outside, middle)
        ends.append(inside)
    return ends[0], ends[1]


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


def discoveries(p_value: np.ndarray, *, rate: float = 0.05) -> Discoveries:
    """Control the false-discovery rate across examples (Benjamini and Hochberg 1995).

    Args:
        p_value: `E`.
        rate: accepted share of false discoveries.
    """
    if not 0 < rate < 1:
        raise AuditError(f"rate: expected a number in (0, 1), got {rate}")
    count = len(p_value)
    order = np.argsort(p_value)
    scaled = p_value[order] * count / np.arange(1, count + 1)
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
