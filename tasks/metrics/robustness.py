"""Accuracy under attack: by radius and class, the area under its curve, and gaps to the retrained model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Metric, MetricValue, Reading
from tasks.metrics.utility import ANSWERS, ANSWERS_BECAUSE, ON_FORGET_SET, bounded, proportion
from tasks.statistics.intervals import newcombe_paired

ROBUST_ACCURACY = Metric(
    name="robust_accuracy",
    about="share of answers that stay right within a radius around the image (`param`; 0: clean)",
    low=0,
    high=1,
    kind="utility",
    higher_is="better",
    error="binomial",
    instead={"forget": ON_FORGET_SET},
    margin=ANSWERS,
    margin_because=ANSWERS_BECAUSE,
)
ROBUST_ACCURACY_AREA = Metric(
    name="robust_accuracy_area",
    about="mean robust accuracy over radii from 0 to the largest (`param`)",
    low=0,
    high=1,
    kind="utility",
    higher_is="better",
    error="mean",
    instead={"forget": Reading("forgetting", "closer_to_retrained", "mean")},
    margin=ANSWERS,
    margin_because=ANSWERS_BECAUSE,
)
ROBUST_ACCURACY_GAP = Metric(
    name="robust_accuracy_gap",
    about="robust accuracy of the unlearned minus the retrained model",
    low=-1,
    high=1,
    kind="utility",
    higher_is="closer_to_retrained",
    error="paired_binomial",
    compares=True,
    margin=ANSWERS,
    margin_because=ANSWERS_BECAUSE,
)
ZERO_GRADIENT_SHARE = Metric(
    name="zero_gradient_share",
    about="share of answers that stay right within a radius (`param`) and whose gradient vanishes at the image: "
    "an attack along gradients has not tried them; the rest of robust_accuracy has been tried",
    low=0,
    high=1,
    kind="utility",
    higher_is="worse",
    error="binomial",
    margin=None,
    margin_because="it says how far an attack has tried a model, not how the model behaves",
)
METRICS = (ROBUST_ACCURACY, ROBUST_ACCURACY_AREA, ROBUST_ACCURACY_GAP, ZERO_GRADIENT_SHARE)


@dataclass(frozen=True, kw_only=True)
class RobustOutputs:
    """What a model answers on the attacked images of one split."""

    ids: np.ndarray
    """`n`, int64, ascending."""
    labels: np.ndarray
    """`n`, int64: true labels."""
    eps: np.ndarray
    """`E`, float64, ascending radii in pixels of [0, 1]; the first is 0, the clean images."""
    correct: np.ndarray
    """`E x n`, bool: right on every image that the attack returned within that radius or a smaller one."""
    predictions: np.ndarray
    """`E x n`, int64: the class given to the first image that fooled the model, else the label."""
    blind: np.ndarray | None = None
    """`n`, bool: the gradient that the attack follows vanishes at the image; None for attacks that follow none."""


def robust_accuracies(split: str, part: RobustOutputs) -> list[MetricValue]:
    """Accuracy at every radius, of the split and of each class that it holds."""
    rows = []
    classes = np.unique(part.labels)
    for eps, correct in zip(part.eps, part.correct, strict=True):
        for label in (None, *classes):
            rows.append(
                proportion(
                    ROBUST_ACCURACY,
                    split,
                    correct if label is None else correct[part.labels == label],
                    param=float(eps),
                    label=None if label is None else int(label),
                )
            )
    return rows


def zero_gradient_shares(split: str, part: RobustOutputs) -> list[MetricValue]:
    """At every radius the share of all examples that hold and could not be tried; none without gradients."""
    if part.blind is None:
        return []
    return [
        proportion(ZERO_GRADIENT_SHARE, split, correct & part.blind, param=float(eps))
        for eps, correct in zip(part.eps, part.correct, strict=True)
    ]


def robust_area(split: str, part: RobustOutputs) -> MetricValue:
    """Each example's share of [0, largest eps] on which it holds, averaged."""
    by_example = np.trapezoid(part.correct.astype(np.float64), part.eps, axis=0) / part.eps[-1]
    return bounded(ROBUST_ACCURACY_AREA, split, by_example, param=float(part.eps[-1]))


def robust_gaps(split: str, part: RobustOutputs, retrained: RobustOutputs) -> list[MetricValue]:
    """Robust accuracy at every radius, unlearned minus retrained; Newcombe's paired interval.

    Raises:
        AuditError: the two were attacked on different examples or at different radii.
    """
    if not (np.array_equal(part.ids, retrained.ids) and np.array_equal(part.eps, retrained.eps)):
        raise AuditError(
            f"{split}: the unlearned and the retrained model were attacked on different examples"
        )
    rows = []
    for eps, ours, theirs in zip(part.eps, part.correct, retrained.correct, strict=True):
        low, high = newcombe_paired(ours, theirs)
        rows.append(
            MetricValue(
                declared=ROBUST_ACCURACY_GAP,
                split=split,
                value=float(ours.mean() - theirs.mean()),
                ci_low=low,
                ci_high=high,
                n=len(ours),
                param=float(eps),
            )
        )
    return rows
