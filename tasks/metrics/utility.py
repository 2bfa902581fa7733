"""Accuracy of one model, by split and class, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Kind, Metric, MetricValue, Reading
from tasks.statistics.groups import by_group, share_interval
from tasks.statistics.intervals import wilson
from tasks.statistics.means import bounded_mean
from tasks.statistics.spread import largest_difference

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs

ANSWERS = 0.02
ANSWERS_BECAUSE = "two answers in a hundred: about as far as two retrainings of a small network are apart"
ON_FORGET_SET = Reading("forgetting", "closer_to_retrained", "binomial")
"""A model that forgot is right on the forget set as often as a retrained one, not less often."""
ACCURACY = Metric(
    name="accuracy",
    about="share of right answers on a split, or on one class of it",
    low=0,
    high=1,
    kind="utility",
    higher_is="better",
    error="binomial",
    instead={"forget": ON_FORGET_SET},
    margin=ANSWERS,
    margin_because=ANSWERS_BECAUSE,
)


def _to_retrained(name: str, about: str, kind: Kind) -> Metric:
    return Metric(
        name=name,
        about=about,
        low=0,
        high=1,
        kind=kind,
        higher_is="closer_to_retrained",
        error="binomial",
        margin=ANSWERS,
        margin_because=ANSWERS_BECAUSE,
    )


UA = _to_retrained("ua", "unlearning accuracy: share of wrong answers on the forget set", "forgetting")
RA = _to_retrained("ra", "accuracy on the retain set", "utility")
TA = _to_retrained("ta", "accuracy on the test set", "utility")
TA_RETAINED = _to_retrained(
    "ta_retained_classes", "test accuracy on classes that are still trained on", "utility"
)
TA_FORGOTTEN = _to_retrained(
    "ta_forgotten_classes", "test accuracy on classes that are wholly forgotten", "forgetting"
)
CLASS_ACCURACY_GAP = Metric(
    name="class_accuracy_gap",
    about="largest minus smallest class accuracy",
    low=0,
    high=1,
    kind="utility",
    higher_is="worse",
    error="spread",
    margin=0.05,
    margin_because="a difference of two extremes varies more than an accuracy, from a few examples each",
)
METRICS = (ACCURACY, UA, RA, TA, TA_RETAINED, TA_FORGOTTEN, CLASS_ACCURACY_GAP)


def proportion(
    declared: Metric,
    split: str,
    correct: np.ndarray,
    *,
    param: float | None = None,
    label: int | None = None,
    groups: np.ndarray | None = None,
) -> MetricValue:
    """Share of True in `correct` (`n`, bool) with Wilson's interval; over `groups` (`n`) where they are given.

    Raises:
        AuditError: there are no examples.
    """
    if not len(correct):
        raise AuditError(f"{declared.name} on {split}: no examples")
    hits = int(correct.sum())
    low, high = share_interval(correct, groups)
    return MetricValue(
        declared=declared,
        split=split,
        value=hits / len(correct),
        ci_low=float(low),
        ci_high=float(high),
        n=len(correct),
        param=param,
        label=label,
    )


def bounded(
    declared: Metric,
    split: str,
    values: np.ndarray,
    *,
    param: float | None = None,
    label: int | None = None,
    groups: np.ndarray | None = None,
) -> MetricValue:
    """Mean of `values` (`n`, in [0, 1]) with the score interval of a bounded mean, over `groups` (`n`) if given."""
    low, high = bounded_mean(by_group(values, groups))
    return MetricValue(
        declared=declared,
        split=split,
        value=float(values.mean()),
        ci_low=float(low),
        ci_high=float(high),
        n=len(values),
        param=param,
        label=label,
    )


def accuracies(split: str, outputs: Outputs) -> list[MetricValue]:
    """Accuracy on a split, and on each class that it holds."""
    rows = [proportion(ACCURACY, split, outputs.correct)]
    for label in np.unique(outputs.labels):
        rows.append(proportion(ACCURACY, split, outputs.correct[outputs.labels == label], label=int(label)))
    return rows


def unlearning_accuracies(forget: Outputs, retain: Outputs, test: Outputs) -> list[MetricValue]:
    """The literature's triple: UA = 1 - accuracy on the forget set; RA on the retain, TA on the test set."""
    parts = (
        (UA, "forget", ~forget.correct),
        (RA, "retain", retain.correct),
        (TA, "test", test.correct),
    )
    return [proportion(declared, split, correct) for declared, split, correct in parts if len(correct)]


def accuracy_by_forgetting(test: Outputs, forgotten_classes: Iterable[int]) -> list[MetricValue]:
    """For class-wise forget sets: test accuracy on the retained classes and on the forgotten ones."""
    forgotten = np.isin(test.labels, np.array(sorted(forgotten_classes), dtype=np.int64))
    parts = ((TA_RETAINED, ~forgotten), (TA_FORGOTTEN, forgotten))
    return [proportion(declared, "test", test.correct[rows]) for declared, rows in parts if rows.any()]


def class_accuracy_gap(split: str, outputs: Outputs) -> MetricValue:
    """Largest minus smallest class accuracy: fairness across classes.

    Raises:
        AuditError: fewer than two classes are present.
    """
    labels, inverse = np.unique(outputs.labels, return_inverse=True)
    if len(labels) < 2:
        raise AuditError(f"class_accuracy_gap on {split}: expected at least 2 classes, got {len(labels)}")
    sizes = np.bincount(inverse)
    hits = np.bincount(inverse, weights=outputs.correct)
    rates = hits / sizes
    low, high = largest_difference(rates, lambda confidence: wilson(hits, sizes, confidence=confidence))
    return MetricValue(
        declared=CLASS_ACCURACY_GAP,
        split=split,
        value=float(np.ptp(rates)),
        ci_low=low,
        ci_high=min(1.0, high),
        n=len(outputs),
    )
