"""Estimates over (shadow model, example) whose errors are shared by shadow models and by examples.

Observations of one shadow share its weights and those of one example its difficulty, so a binomial interval on pooled
counts is too narrow (guide/games.md#intervals). Each observation's share in the error of an estimate is summed by
shadow pair (or fold) and by example: V = V_unit + V_example - V_cell (Cameron, Gelbach and Miller 2011), at least the
larger of the first two, with Student's t of the units. The interval is Wilson's for as many observations as would give
that variance, with t for the normal quantile, as for shares in clustered surveys (Franco, Little, Louis and Slud 2019,
Journal of Survey Statistics and Methodology 7: 334-364): away from the limits it is as wide as Student's, and near one,
where the variance that is seen is too small, it does not shrink with it. Its coverage is measured in
`tests.benchmarks.coverage.shadows`, down to 8 examples under 16 shadow models with an AUC of .98.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from tasks.errors import AuditError
from tasks.metrics.per_example import comparisons_by_fold, decide
from tasks.shadows.games import PerExampleScores
from tasks.statistics.intervals import CONFIDENCE, clopper_pearson


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """A value and what each shadow unit and example contributes to its error."""

    value: float
    n: int
    """Observations behind it."""
    units: np.ndarray
    """`U`: numbers of the pairs, or folds of pairs, that are independent of each other."""
    example_ids: np.ndarray
    """`E`, sorted."""
    deviation: np.ndarray
    """`U x E`: sums to 0; its sum over all is to first order the error of the value."""

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(_variance(self.deviation)))

    @property
    def df(self) -> int:
        """Degrees of freedom of the standard error."""
        return len(self.units) - 1

    def interval(self, low: float, high: float) -> tuple[float, float]:
        """Wilson's interval of the value's place within the range; at a limit the exact one of as many units."""
        share, error = (self.value - low) / (high - low), self.error / (high - low)
        if share in (0.0, 1.0):
            units = len(self.units)
            ends = [float(end) for end in clopper_pearson(share * units, units)]
        else:
            reach = float(special.stdtrit(max(self.df, 1), 0.5 + CONFIDENCE / 2)) * error
            pull = reach**2 / (share * (1 - share))  # t^2 by the number of observations
            half = float(np.hypot(reach, pull / 2))
            ends = [(share + pull / 2 + sign * half) / (1 + pull) for sign in (-1, 1)]
        return low + (high - low) * ends[0], low + (high - low) * ends[1]

    def minus(self, other: Estimate) -> Estimate | None:
        """The difference of two estimates from the same shadow models; None where their units are not the same."""
        if not np.array_equal(self.units, other.units):
            return None
        ids = np.union1d(self.example_ids, other.example_ids)
        deviation = np.zeros((len(self.units), len(ids)))
        for sign, one in ((1, self), (-1, other)):
            deviation[:, np.searchsorted(ids, one.example_ids)] += sign * one.deviation
        return Estimate(
            value=self.value - other.value,
            n=self.n,
            units=self.units,
            example_ids=ids,
            deviation=deviation,
        )


def _variance(deviation: np.ndarray) -> float:
    units, examples = deviation.shape
    by_unit = float((deviation.sum(1) ** 2).sum()) * units / max(units - 1, 1)
    by_example = float((deviation.sum(0) ** 2).sum()) * examples / max(examples - 1, 1)
    return max(by_unit + by_example - float((deviation**2).sum()), by_unit, by_example)


def by_pair(
    value: float, deviation: np.ndarray, *, shadow: np.ndarray, example_ids: np.ndarray, n: int
) -> Estimate:
    """An estimate from the share of each observation (`R x E`) in its error."""
    pairs, index = np.unique(shadow // 2, return_inverse=True)
    total = np.zeros((len(pairs), deviation.shape[1]))
    np.add.at(total, index.reshape(-1), deviation)
    return Estimate(value=value, n=n, units=pairs, example_ids=example_ids, deviation=total)


def mean_example_auc(scores: PerExampleScores) -> Estimate:
    """Mean over examples of each example's own AUC: what a dedicated attacker achieves on average.

    Its units are the folds, within which alone an example's scores are compared.
    """
    above, compared = comparisons_by_fold(scores)
    of_example = np.maximum(compared.sum(0), 1)
    value = float(np.where(compared.sum(0) > 0, above.sum(0) / of_example, 0.5).mean())
    return Estimate(
        value=value,
        n=int((scores.label >= 0).sum()),
        units=np.unique(scores.fold),
        example_ids=scores.example_ids,
        deviation=(above - value * compared) / of_example / len(scores.example_ids),
    )


def pooled_auc(scores: PerExampleScores) -> Estimate:
    """AUC over all (model, example) observations at once: mixes examples of unlike difficulty."""
    sides = [scores.label == 1, scores.label == 0]
    ordered = [np.sort(scores.score[side]) for side in sides]
    above_others = _share_below(ordered[1], scores.score)
    below_members = 1 - _share_below(ordered[0], scores.score)
    value = float(above_others[sides[0]].mean())
    deviation = np.where(sides[0], (above_others - value) / len(ordered[0]), 0.0)
    deviation += np.where(sides[1], (below_members - value) / len(ordered[1]), 0.0)
    return _of_scores(scores, value, deviation)


def _share_below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of the ordered values below each value, ties one half."""
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (
        2 * len(ordered)
    )


def _of_scores(
    scores: PerExampleScores, value: float, deviation: np.ndarray, *, n: int | None = None
) -> Estimate:
    return by_pair(
        value,
        deviation,
        shadow=scores.shadow,
        example_ids=scores.example_ids,
        n=int((scores.label >= 0).sum()) if n is None else n,
    )


def _rate(hit: np.ndarray, inside: np.ndarray) -> tuple[float, np.ndarray]:
    """Share of `hit` among `inside`, and the share of each observation in its error (all `R x E`)."""
    value = float(hit[inside].mean())
    return value, np.where(inside, (hit - value) / inside.sum(), 0.0)


def mean_balanced_accuracy(scores: PerExampleScores) -> Estimate:
    """Balanced accuracy of the decisions, pooled: (TPR + TNR) / 2 over models and examples."""
    decision = decide(scores)
    tpr, of_members = _rate(decision, scores.label == 1)
    tnr, of_others = _rate(~decision, scores.label == 0)
    return _of_scores(scores, (tpr + tnr) / 2, (of_members + of_others) / 2)


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """TPR at a false-positive rate that other shadows calibrated, and the rate that came out."""

    fpr: float
    """What was asked."""
    tpr: Estimate
    """Of the rate that was asked: its error includes that of the thresholds."""
    realised_fpr: Estimate
    """At the thresholds that were used."""


def tpr_at_fpr(scores: PerExampleScores, fpr: float) -> OperatingPoint:
    """TPR at thresholds chosen on the other half of the pairs.

    A threshold errs with the negatives that it was taken from; the slope of the ROC curve at it turns that into an
    error of the TPR (derived here; simulated .92 to .98 where leaving it out gives .80 to 1).

    Raises:
        AuditError: a half has too few negatives to see the rate (needs more than 1 / fpr).
    """
    decision = np.zeros(scores.score.shape, dtype=bool)
    positive, negative = scores.label == 1, scores.label == 0
    misplaced = np.zeros(scores.score.shape)
    for half in (0, 1):
        mine = scores.fold % 2 == half
        others = np.sort(scores.score[~mine][negative[~mine]])
        if len(others) * fpr <= 1:
            raise AuditError(
                f"TPR at FPR {fpr:g}: expected more than {1 / fpr:.0f} negatives to calibrate on, "
                f"got {len(others)}"
            )
        threshold = others[-int(np.floor(fpr * len(others))) - 1]
        decision[mine] = scores.score[mine] > threshold
        alarm = np.where(negative[~mine], (scores.score[~mine] > threshold) - fpr, 0.0)
        misplaced[~mine] = alarm / len(others) * positive[mine].sum() / positive.sum()
    tpr, of_members = _rate(decision, positive)
    realised, of_others = _rate(decision, negative)
    slope = _roc_slope(scores.score[positive], scores.score[negative], fpr)
    return OperatingPoint(
        fpr=fpr,
        tpr=_of_scores(scores, tpr, of_members - slope * misplaced, n=int(positive.sum())),
        realised_fpr=_of_scores(scores, realised, of_others, n=int(negative.sum())),
    )


def _roc_slope(members: np.ndarray, others: np.ndarray, fpr: float) -> float:
    """Of the ROC curve, between half and twice the false-positive rate."""
    rates = np.array([fpr / 2, min(2 * fpr, 1.0)])
    hits = [(members > threshold).mean() for threshold in np.quantile(others, 1 - rates)]
    return float((hits[1] - hits[0]) / (rates[1] - rates[0]))
