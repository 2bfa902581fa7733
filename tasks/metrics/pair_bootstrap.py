"""Aggregates over (model, example) with a two-way bootstrap: pairs are resampled, then examples.

Observations of one shadow share its weights and those of one example its difficulty, so a binomial interval
on pooled counts is too narrow. Pigeonhole bootstrap, Owen 2007: it errs to the wide side where
shadows differ little as a whole. Where they differ much and are few, percentiles fall short; the ends are therefore
stretched as Student's t of the pairs is (`stretch`): simulated coverage of nominal 95 % with a shadow effect as large
as the noise within shadows was .89 to .95 without and .95 to .98 with it (16 and 32 shadows).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats

from tasks.errors import AuditError
from tasks.metrics.per_example import auc_by_example, decide
from tasks.shadows.games import PerExampleScores
from tasks.statistics.intervals import CONFIDENCE, percentiles

BLOCK_ELEMENTS = 4_000_000
BINS = 4096
"""Of the pooled AUC's resamples."""
REPEAT_BLOCK = 128
"""Resamples that one sparse product serves; more would leave the cache."""


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


def stretch(pairs: int) -> float:
    """How much longer an interval from few pairs must be than the normal one: t, and the resamples' divisor P."""
    if pairs < 2:
        return 1.0
    quantile = 0.5 + CONFIDENCE / 2
    return float(stats.t.ppf(quantile, pairs - 1) / stats.norm.ppf(quantile) * np.sqrt(pairs / (pairs - 1)))


def stretched_interval(value: float, replicates: np.ndarray, *, pairs: int) -> tuple[float, float]:
    """Percentiles of the replicates, stretched about the value for few pairs."""
    low, high = percentiles(replicates)
    longer = stretch(pairs)
    return value - longer * max(value - float(low), 0.0), value + longer * max(float(high) - value, 0.0)


def _interval(value: float, replicates: np.ndarray, resamples: Resamples, *, n: int) -> Estimate:
    """Interval of a number in [0, 1] from its replicates."""
    pairs = resamples.pairs.shape[1]
    low, high = stretched_interval(value, replicates, pairs=pairs)
    return Estimate(value=value, low=max(0.0, low), high=min(1.0, high), n=n)


def pooled_auc(scores: PerExampleScores, resamples: Resamples) -> Estimate:
    """AUC over all (model, example) observations at once: mixes examples of unlike difficulty.

    The value is exact. The resamples behind the interval tie scores that share one of `BINS` quantile bins,
    which moves each by at most half the share of comparisons within a bin: 1 / (2 x `BINS`) or so, and not at
    all where there are no more distinct scores than bins.
    """
    positive, negative = (scores.score[scores.label == side] for side in (1, 0))
    code, bins = _quantile_bins(scores)
    weights = [_bin_weights(code, scores.label == side, scores.pair, bins, resamples) for side in (1, 0)]
    replicates = _auc_of_counts(*weights)
    return _interval(
        _auc(positive, negative),
        replicates[np.isfinite(replicates)],
        resamples,
        n=len(positive) + len(negative),
    )


def _auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of comparisons that H1 wins, ties one half."""
    ordered, queries = np.sort(negative), np.sort(positive)
    below = sum(
        np.searchsorted(ordered, queries, side=side).sum(dtype=np.int64) for side in ("left", "right")
    )
    return float(below / 2 / len(positive) / len(negative))


def _quantile_bins(scores: PerExampleScores) -> tuple[np.ndarray, int]:
    """Bin of every score, `R x E`, int32, in the order of the scores; one bin a value where they are few."""
    ordered = np.sort(scores.score[scores.label >= 0])
    edges = ordered[np.append(True, ordered[1:] > ordered[:-1])]
    if len(edges) > BINS:
        edges = np.unique(ordered[:: -(-len(ordered) // BINS)])
    return np.searchsorted(edges, scores.score, side="right").astype(np.int32) - 1, len(edges)


def _bin_weights(
    code: np.ndarray, inside: np.ndarray, pair: np.ndarray, bins: int, resamples: Resamples
) -> np.ndarray:
    """Resampled weight of the observations in each bin, `bins x repeats`.

    An observation weighs its pair's times its example's multiplicity. A sparse product does one pair under all
    resamples: the sum over observations costs a multiplication each, and no resample sorts again.
    """
    repeats = len(resamples.pairs)
    total = np.zeros((bins, repeats))
    for start in range(0, repeats, REPEAT_BLOCK):
        part = slice(start, start + REPEAT_BLOCK)
        examples = np.ascontiguousarray(resamples.examples[part].T, dtype=np.float32)
        for one in range(resamples.pairs.shape[1]):
            rows = np.flatnonzero(pair == one)
            run, example = np.nonzero(inside[rows])
            place = code[rows[run], example], example
            counts = sparse.csr_array(
                (np.ones(len(run), dtype=np.float32), place), shape=(bins, inside.shape[1])
            )
            total[:, part] += (counts @ examples) * resamples.pairs[part, one]
    return total


def _auc_of_counts(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """AUC of weights by bin (`bins x repeats`), ties one half; NaN where a side has no weight."""
    below = np.cumsum(negative, axis=0) - negative / 2
    total = positive.sum(0) * negative.sum(0)
    return np.divide((positive * below).sum(0), total, out=np.full(len(total), np.nan), where=total > 0)


def example_auc_replicates(scores: PerExampleScores, pair_weights: np.ndarray) -> np.ndarray:
    """AUC of every example with its pairs reweighted, `repeats x E`; NaN where a side got no weight.

    Args:
        scores: `R` runs x `E` examples in `P` pairs.
        pair_weights: `repeats x P`.
    """
    shape = (len(pair_weights), len(scores.example_ids))
    above, compared = np.zeros((2, *shape), dtype=np.float32)
    for one in np.unique(scores.fold):
        rows = np.flatnonzero(scores.fold == one)
        pairs, slots = _rows_by_pair(rows, scores.pair[rows])
        weights = pair_weights[:, pairs].astype(np.float32)
        products = (weights[:, :, None] * weights[:, None, :]).reshape(len(weights), -1)
        step = max(1, BLOCK_ELEMENTS // slots.size**2)
        for begin in range(0, shape[1], step):
            part = slice(begin, begin + step)
            label = np.where((slots >= 0)[:, :, None], scores.label[:, part][slots], -1)
            sides = [_side_by_pair(scores.score[:, part][slots], label == side) for side in (1, 0)]
            kernel = _wins(sides[0], sides[1])
            counts = [weights @ (label == side).sum(1, dtype=np.float32) for side in (1, 0)]
            above[:, part] += products @ kernel.reshape(len(kernel) ** 2, -1)
            compared[:, part] += counts[0] * counts[1]
    return np.divide(above, compared, out=np.full(shape, np.nan, dtype=np.float32), where=compared > 0)


def _rows_by_pair(rows: np.ndarray, pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs among some runs, and the runs of each: `P x most`, -1 where a pair has fewer."""
    pairs, index, count = np.unique(pair, return_inverse=True, return_counts=True)
    order = np.argsort(index, kind="stable")
    slots = np.full((len(pairs), count.max()), -1)
    slots[np.arange(count.max()) < count[:, None]] = rows[order]
    return pairs, slots


def _side_by_pair(score: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Scores of one hypothesis (`P x slots x b` to `P x most x b`), NaN where a pair has fewer."""
    most = max(1, int(member.sum(1).max(initial=0)))
    order = np.argsort(~member, axis=1, kind="stable")[:, :most]
    present = np.take_along_axis(member, order, axis=1)
    return np.where(present, np.take_along_axis(score, order, axis=1), np.float32(np.nan))


def _wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Comparisons that the H1 runs of one pair win against the H0 runs of another, `P x P x b`, float32."""
    dtype = np.int16 if 2 * positive.shape[1] * negative.shape[1] <= np.iinfo(np.int16).max else np.int32
    twice = np.zeros((len(positive), len(negative), positive.shape[2]), dtype=dtype)
    for i in range(positive.shape[1]):
        for j in range(negative.shape[1]):
            ours, theirs = positive[:, None, i], negative[None, :, j]
            twice += ours > theirs
            twice += ours >= theirs
    return twice.astype(np.float32) / np.float32(2)


def mean_example_auc(scores: PerExampleScores, resamples: Resamples) -> Estimate:
    """Mean over examples of each example's own AUC: what a dedicated attacker achieves on average."""
    by_example = example_auc_replicates(scores, resamples.pairs)
    weight = np.where(np.isfinite(by_example), resamples.examples, 0)
    total = np.einsum("re,re->r", np.nan_to_num(by_example, copy=False), weight, dtype=np.float64)
    replicates = total / np.maximum(weight.sum(1), 1)
    value = float(auc_by_example(scores).mean())
    return _interval(value, replicates, resamples, n=int((scores.label >= 0).sum()))


def _rates(
    hit: np.ndarray, inside: np.ndarray, pair: np.ndarray, resamples: Resamples
) -> tuple[float, np.ndarray]:
    """Share of `hit` among `inside` (both `R x E`), and its bootstrap replicates."""
    order = np.argsort(pair, kind="stable")
    starts = np.searchsorted(pair[order], np.arange(resamples.pairs.shape[1]))
    weights = resamples.pairs.astype(np.float32)
    sums = []
    for array in (hit & inside, inside):
        table = np.add.reduceat(array[order], starts, axis=0, dtype=np.float32)
        sums.append(np.einsum("re,re->r", weights @ table, resamples.examples, dtype=np.float64))
    return float(hit[inside].mean()), sums[0] / np.maximum(sums[1], 1)


def mean_balanced_accuracy(scores: PerExampleScores, resamples: Resamples) -> Estimate:
    """Balanced accuracy of the decisions, pooled: (TPR + TNR) / 2 over models and examples."""
    decision, pair = decide(scores), scores.pair
    tpr, tpr_replicates = _rates(decision, scores.label == 1, pair, resamples)
    tnr, tnr_replicates = _rates(~decision, scores.label == 0, pair, resamples)
    return _interval(
        (tpr + tnr) / 2,
        (tpr_replicates + tnr_replicates) / 2,
        resamples,
        n=int((scores.label >= 0).sum()),
    )


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """TPR at a false-positive rate that other shadows calibrated, and the rate that came out."""

    fpr: float
    """What was asked."""
    tpr: Estimate
    realised_fpr: Estimate
    """Two-way bootstrap."""


def tpr_at_fpr(scores: PerExampleScores, fpr: float, resamples: Resamples) -> OperatingPoint:
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
    return OperatingPoint(
        fpr=fpr,
        tpr=_interval(tpr, tpr_replicates, resamples, n=int(positive.sum())),
        realised_fpr=_interval(realised, fpr_replicates, resamples, n=int(negative.sum())),
    )
