"""Aggregates over (model, example) with a two-way cluster bootstrap: pairs are resampled, then examples.

Observations of one shadow share its weights and those of one example its difficulty, so a binomial interval
on pooled counts is too narrow (MEMBERSHIP.md 1.9). Pigeonhole bootstrap, Owen 2007: it errs to the wide side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.intervals import clopper_pearson, percentiles
from tasks.metrics.per_example import auc_by_example, decide
from tasks.shadows.games import PerExampleScores

BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value, its interval and the observations behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Resamples:
    """Multiplicities of a two-way bootstrap."""

    pairs: np.ndarray
    """`repeats x P`: how often each pair is drawn."""
    examples: np.ndarray
    """`repeats x E`."""


def resample(scores: PerExampleScores, *, generator: np.random.Generator, repeats: int = 200) -> Resamples:
    """Draw pairs and examples with replacement, independently of each other."""
    pairs, examples = len(np.unique(scores.pair)), len(scores.example_ids)
    return Resamples(
        pairs=generator.multinomial(pairs, np.full(pairs, 1 / pairs), size=repeats),
        examples=generator.multinomial(examples, np.full(examples, 1 / examples), size=repeats),
    )


def _interval(value: float, replicates: np.ndarray, *, n: int, confidence: float) -> Estimate:
    low, high = percentiles(replicates, confidence=confidence)
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value), n=n)


def pooled_auc(scores: PerExampleScores, resamples: Resamples, *, confidence: float = 0.95) -> Estimate:
    """AUC over all (model, example) observations at once: mixes examples of unlike difficulty."""
    inside = scores.label >= 0
    order = np.argsort(scores.score[inside], kind="stable")
    run, example = (index[order] for index in np.nonzero(inside))
    member = scores.label[inside][order] == 1
    starts = np.flatnonzero(np.append(True, np.diff(scores.score[inside][order]) > 0))
    pair = scores.pair[run]
    replicates = np.array(
        [
            _weighted_auc(member, starts, pair_weight[pair] * example_weight[example])
            for pair_weight, example_weight in zip(resamples.pairs, resamples.examples, strict=True)
        ]
    )
    value = _weighted_auc(member, starts, np.ones(len(member), dtype=np.int64))
    return _interval(value, replicates[np.isfinite(replicates)], n=len(member), confidence=confidence)


def _weighted_auc(member: np.ndarray, starts: np.ndarray, weight: np.ndarray) -> float:
    """AUC of observations sorted by score; `starts` are the first rows of tied groups."""
    positive = np.add.reduceat(np.where(member, weight, 0).astype(np.float64), starts)
    negative = np.add.reduceat(np.where(member, 0, weight).astype(np.float64), starts)
    total = positive.sum() * negative.sum()
    if total == 0:
        return float("nan")
    return float((positive * (np.cumsum(negative) - negative / 2)).sum() / total)


def example_auc_replicates(scores: PerExampleScores, pair_weights: np.ndarray) -> np.ndarray:
    """AUC of every example with its pairs reweighted, `repeats x E`; NaN where a side got no weight.

    Args:
        scores: `R` runs x `E` examples in `P` pairs.
        pair_weights: `repeats x P`.
    """
    above = np.zeros((len(pair_weights), len(scores.example_ids)))
    compared = np.zeros_like(above)
    for one in np.unique(scores.fold):
        rows = np.flatnonzero(scores.fold == one)
        rows = rows[np.argsort(scores.pair[rows], kind="stable")]
        pairs, starts = np.unique(scores.pair[rows], return_index=True)
        weights = pair_weights[:, pairs].astype(np.float32)
        step = max(1, BLOCK_ELEMENTS // len(rows) ** 2)
        for begin in range(0, above.shape[1], step):
            part = slice(begin, begin + step)
            wins, counts = _weighted_wins(scores.score[rows, part], scores.label[rows, part], starts, weights)
            above[:, part] += wins
            compared[:, part] += counts
    return np.where(compared > 0, above / np.maximum(compared, 1), np.nan)


def _weighted_wins(
    score: np.ndarray, label: np.ndarray, starts: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Comparisons of one fold that H1 wins, and all of them, each `repeats x b`, under pair weights."""
    positive, negative = (label == 1).T, (label == 0).T
    s = score.T
    wins = (s[:, :, None] > s[:, None, :]) + np.float32(0.5) * (s[:, :, None] == s[:, None, :])
    wins *= positive[:, :, None] & negative[:, None, :]
    kernel = np.add.reduceat(np.add.reduceat(wins, starts, axis=1), starts, axis=2).astype(np.float32)
    products = (weights[:, :, None] * weights[:, None, :]).reshape(len(weights), -1)
    counts = [
        weights @ np.add.reduceat(side, starts, axis=1, dtype=np.float32).T for side in (positive, negative)
    ]
    return products @ kernel.reshape(len(s), -1).T, counts[0] * counts[1]


def mean_example_auc(scores: PerExampleScores, resamples: Resamples, *, confidence: float = 0.95) -> Estimate:
    """Mean over examples of each example's own AUC: what a dedicated attacker achieves on average."""
    by_example = example_auc_replicates(scores, resamples.pairs)
    known = np.isfinite(by_example)
    weight = resamples.examples * known
    replicates = np.nansum(np.where(known, by_example, 0.0) * weight, axis=1) / np.maximum(weight.sum(1), 1)
    value = float(auc_by_example(scores).mean())
    return _interval(value, replicates, n=int((scores.label >= 0).sum()), confidence=confidence)


def _rates(
    hit: np.ndarray, inside: np.ndarray, pair: np.ndarray, resamples: Resamples
) -> tuple[float, np.ndarray]:
    """Share of `hit` among `inside` (both `R x E`), and its bootstrap replicates."""
    pairs = resamples.pairs.shape[1]
    sums = []
    for array in (hit & inside, inside):
        table = np.zeros((pairs, array.shape[1]))
        np.add.at(table, pair, array)
        sums.append(((resamples.pairs @ table) * resamples.examples).sum(1))
    return float(hit[inside].mean()), sums[0] / np.maximum(sums[1], 1)


def mean_balanced_accuracy(
    scores: PerExampleScores, resamples: Resamples, *, confidence: float = 0.95
) -> Estimate:
    """Balanced accuracy of the decisions, pooled: (TPR + TNR) / 2 over models and examples."""
    decision, pair = decide(scores), scores.pair
    tpr, tpr_replicates = _rates(decision, scores.label == 1, pair, resamples)
    tnr, tnr_replicates = _rates(~decision, scores.label == 0, pair, resamples)
    return _interval(
        (tpr + tnr) / 2,
        (tpr_replicates + tnr_replicates) / 2,
        n=int((scores.label >= 0).sum()),
        confidence=confidence,
    )


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """TPR at a false-positive rate that other shadows calibrated, and the rate that came out."""

    fpr: float
    """What was asked."""
    tpr: Estimate
    realised_fpr: Estimate
    """Two-way bootstrap."""
    realised_fpr_exact: tuple[float, float]
    """Clopper-Pearson on the pooled counts: too narrow where observations are dependent."""


def tpr_at_fpr(
    scores: PerExampleScores, fpr: float, resamples: Resamples, *, confidence: float = 0.95
) -> OperatingPoint:
    """TPR at thresholds chosen on the other half of the pairs.

    Raises:
        AuditError: a half has too few negatives to see the rate (needs more than 1 / fpr).
    """
    decision = np.zeros(scores.score.shape, dtype=bool)
    for half in (0, 1):
        mine = scores.fold % 2 == half
        negatives = np.sort(scores.score[~mine][scores.label[~mine] == 0])
        if len(negatives) * fpr <= 1:
            raise AuditError(
                f"TPR at FPR {fpr:g}: expected more than {1 / fpr:.0f} negatives to calibrate on, "
                f"got {len(negatives)}"
            )
        above = int(np.floor(fpr * len(negatives)))
        decision[mine] = scores.score[mine] > negatives[-above - 1]
    pair = scores.pair
    positive, negative = scores.label == 1, scores.label == 0
    tpr, tpr_replicates = _rates(decision, positive, pair, resamples)
    realised, fpr_replicates = _rates(decision, negative, pair, resamples)
    low, high = clopper_pearson(int(decision[negative].sum()), int(negative.sum()), confidence=confidence)
    return OperatingPoint(
        fpr=fpr,
        tpr=_interval(tpr, tpr_replicates, n=int(positive.sum()), confidence=confidence),
        realised_fpr=_interval(realised, fpr_replicates, n=int(negative.sum()), confidence=confidence),
        realised_fpr_exact=(float(low), float(high)),
    )
