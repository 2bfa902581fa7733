"""What a model of documents thinks of wrong answers beside a right one in other words (TOFU; Maini et al. 2024).

The truth ratio of a question is the mean over its wrong answers of p^(1 / tokens), divided by that of the paraphrased
right answer: the definition of the paper and of open-unlearning. Two others are about: the exponential of a difference
of mean losses (the first public code's test), and max(0, 1 - ratio) (utility). The p-value of a Kolmogorov-Smirnov
test, published as forget quality, falls with the number of questions whatever the model; the distance does not.
"""

from __future__ import annotations

import numpy as np

from tasks.metrics.base import Metric, MetricValue, Reading
from tasks.metrics.utility import bounded
from tasks.statistics.distributions import ks_distance

TRUTH_RATIO = Metric(
    name="truth_ratio",
    about="mean over questions of the truth ratio or its reciprocal, whichever is below 1; 1: a right answer in other "
    "words is as likely as wrong ones",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="mean",
    instead={"retain": Reading("utility", "closer_to_retrained", "mean")},
    margin=None,
    margin_because="how far two retrained models are apart depends on the questions: read it against retrain_again",
)
TRUTH_RATIO_DISTANCE = Metric(
    name="truth_ratio_distance",
    about="Kolmogorov-Smirnov distance of the truth ratios from those of the retrained model",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="worse",
    error="band",
    instead={"retain": Reading("utility", "worse", "band")},
    compares=True,
    margin=None,
    margin_because="two retrained models are not at distance 0 either: read it against retrain_again",
)
METRICS = (TRUTH_RATIO, TRUTH_RATIO_DISTANCE)


def log_ratios(loss: np.ndarray, example: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Logarithm of the truth ratio of each example, ascending by its id.

    Args:
        loss: mean loss over the tokens of each answer, `M`.
        example: which example each answers, `M`, ascending.
        right: the paraphrased right answer of each example, `M`, bool; the others are wrong.
    """
    _, place = np.unique(example, return_inverse=True)
    wrong = ~right
    lowest = np.full(place.max() + 1, np.inf)
    np.minimum.at(lowest, place[wrong], loss[wrong])
    total = np.bincount(place[wrong], weights=np.exp(lowest[place[wrong]] - loss[wrong]))
    mean = total / np.bincount(place[wrong])
    return np.log(mean) - lowest + loss[right]


def truth_ratio(split: str, ratios: np.ndarray, groups: np.ndarray | None) -> MetricValue:
    """Mean of exp(-|log ratio|) over questions (`n`), with an interval over `groups` (`n`) where they are given."""
    return bounded(TRUTH_RATIO, split, np.exp(-np.abs(ratios)), groups=groups)


def truth_ratio_distance(
    split: str,
    ratios: np.ndarray,
    retrained: np.ndarray,
    groups: np.ndarray | None,
    *,
    generator: np.random.Generator,
    resamples: int,
) -> MetricValue:
    """Distance of the distributions under two models, with an interval over groups.

    Args:
        split: of the questions.
        ratios, retrained: log ratios of the same questions, `n`.
        groups: of whom each is, `n`; None: each stands for itself.
        generator: of the bootstrap.
        resamples: of the bootstrap.
    """
    found = ks_distance(ratios, retrained, generator=generator, groups=groups, resamples=resamples)
    return MetricValue(
        declared=TRUTH_RATIO_DISTANCE,
        split=split,
        value=found.value,
        ci_low=found.low,
        ci_high=found.high,
        n=len(ratios),
    )
