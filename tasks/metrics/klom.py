"""KLoM: how far the margins of unlearned models are from those of retrained ones, beside what chance alone gives.

Georgiev et al. 2024 (arXiv:2410.23232): of each example the KL divergence between the histograms of its margin over
unlearned and over retrained models; of a split the 95th percentile of these. Few models are far apart by chance alone.

Derived here: an unlearned and a retrained model of one training set and one forget set are exchangeable where
unlearning equals retraining. Exchanging the two, by a fair coin for each shadow model and for all examples at once,
gives what the percentile is by chance, whatever models share by their data. What exceeds it is 0 on average where
nothing differs. By chance it is about 5.9, 3.0, 1.2 and 0.5 with 16, 32, 64 and 128 models of either kind (simulated).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from tasks.metrics.base import Metric, MetricValue, Reading, SamplingError
from tasks.statistics.binned_divergence import BINS, bin_members, divergence
from tasks.statistics.intervals import CONFIDENCE

PERCENTILE = 0.95
LEFT_OUT = 4
"""One part in so many of the pairs, for the interval."""
BLOCK_ELEMENTS = 4_000_000


def _declared(
    name: str, about: str, *, low: float = 0.0, error: SamplingError = "two_way", no_interval: str = ""
) -> Metric:
    elsewhere = Reading("utility", "worse", error)
    return Metric(
        name=name,
        about=about,
        low=low,
        high=np.inf,
        kind="forgetting",
        higher_is="worse",
        error=error,
        instead={"retain": elsewhere, "test": elsewhere},
        no_interval=no_interval,
        margin=None,
        margin_because="what is small depends on the number of models",
    )


KLOM = _declared("klom", "95th percentile over examples of the KL of margins to those of retrained models")
KLOM_BY_CHANCE = _declared(
    "klom_by_chance",
    "mean KLoM with unlearned and retrained models exchanged at random: what as many equal models give",
    error="none",
    no_interval="it is an expectation, computed from the models at hand",
)
KLOM_EXCESS = _declared(
    "klom_excess", "KLoM beyond what is by chance; 0 on average of equal models", low=-np.inf
)
METRICS = (KLOM, KLOM_BY_CHANCE, KLOM_EXCESS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Margins:
    """Margins of the examples of one split under matched models: `R` matches x `E` examples."""

    split: str
    example_ids: np.ndarray
    """`E`, int64."""
    pair: np.ndarray
    """`R`: the complementary pair of each match, the unit of resampling."""
    unlearned: np.ndarray
    """`R x E`: phi, which is the margin z_y - logsumexp of the other logits."""
    retrained: np.ndarray
    """`R x E`."""
    inside: np.ndarray
    """`R x E`, bool: whether both models of a match are about the example."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Klom:
    """KLoM of one split."""

    split: str
    example_ids: np.ndarray
    divergence: np.ndarray
    """`E`: KL of each example, in nats."""
    by_chance: np.ndarray
    """`E`: its mean over exchanges."""
    value: float
    value_by_chance: float
    half_width: float
    """Of the 95 % interval of what other models and examples, as many, would give on average."""


def klom(margins: Margins, *, exchanges: int, repeats: int, generator: np.random.Generator) -> Klom:
    """KLoM of a split with its share by chance and its interval.

    The interval is Student's t on two variances: of the delete-d jackknife over pairs of shadow models, a quarter left
    out at random (Shao and Wu 1989: leaving out one is no use for a quantile), and of a bootstrap over examples. In
    simulations nominal 95 % held .93 to 1.0 (`tests.benchmarks.coverage.margins`): the least where models differ as a
    whole (.8 of the variance) and share nothing; where nothing differs it is twice as wide as need be.

    Args:
        margins: of at least one example.
        exchanges: of unlearned and retrained models.
        repeats: subsets, and resamples.
        generator: of all three.
    """
    pairs, unit = np.unique(margins.pair, return_inverse=True)
    dropped = max(1, len(pairs) // LEFT_OUT)
    coins = generator.random((exchanges, len(margins.pair))) < 0.5
    kept = generator.permuted(np.tile(np.arange(len(pairs)), (repeats, 1)), axis=1) >= dropped
    found, exchanged, thinned = (
        np.concatenate(parts, axis=-1)
        for parts in zip(*_blocks(margins, coins, kept[:, unit.reshape(-1)]), strict=True)
    )
    of_models = np.quantile(thinned, PERCENTILE, axis=1).var(ddof=1) * (len(pairs) - dropped) / dropped
    drawn = found[generator.integers(len(found), size=thinned.shape)]
    of_examples = np.quantile(drawn, PERCENTILE, axis=1).var(ddof=1)
    quantile = special.stdtrit(max(len(pairs) - 1, 1), 0.5 + CONFIDENCE / 2)
    return Klom(
        split=margins.split,
        example_ids=margins.example_ids,
        divergence=found,
        by_chance=exchanged.mean(0),
        value=float(np.quantile(found, PERCENTILE)),
        value_by_chance=float(np.quantile(exchanged, PERCENTILE, axis=1).mean()),
        half_width=float(quantile * np.sqrt(of_models + of_examples)),
    )


def _blocks(
    margins: Margins, coins: np.ndarray, kept: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Divergences of some examples: as they are, `b`; exchanged, `exchanges x b`; of subsets, `repeats x b`.

    The bins are those of all values together, so that neither an exchange nor a subset moves them.
    """
    width = max(1, BLOCK_ELEMENTS // (BINS * max(len(coins), len(kept), len(margins.pair))))
    for start in range(0, len(margins.example_ids), width):
        part = slice(start, start + width)
        first, second = bin_members(
            margins.unlearned[:, part], margins.retrained[:, part], margins.inside[:, part]
        )
        moved = _sums(coins, second - first)
        yield (
            divergence(first.sum(0), second.sum(0)),
            divergence(first.sum(0) + moved, second.sum(0) - moved),
            divergence(_sums(kept, first), _sums(kept, second)),
        )


def _sums(chosen: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Sums over the matches that each row of `chosen` (`rows x R`, bool) takes: `rows x BINS x b`, float32."""
    return np.tensordot(chosen.astype(np.float32), members, axes=1)


def klom_metrics(found: Klom, *, variant: str = "") -> list[MetricValue]:
    """KLoM of a split, what of it is by chance, and what is beyond; `variant` names margins that are not phi."""
    excess = found.value - found.value_by_chance
    rows = (
        (KLOM, found.value, (max(0.0, found.value - found.half_width), found.value + found.half_width)),
        (KLOM_BY_CHANCE, found.value_by_chance, (None, None)),
        (KLOM_EXCESS, excess, (excess - found.half_width, excess + found.half_width)),
    )
    return [
        MetricValue(
            declared=declared,
            split=found.split,
            value=value,
            ci_low=low,
            ci_high=high,
            n=len(found.example_ids),
            variant=variant,
        )
        for declared, value, (low, high) in rows
    ]
