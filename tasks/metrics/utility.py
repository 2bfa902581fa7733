"""Accuracy of one model, by split and class, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Direction, Metric
from tasks.statistics.intervals import reflected, wilson

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs


def proportion(
    name: str,
    split: str,
    correct: np.ndarray,
    *,
    higher_is: Direction,
    param: float | None = None,
    label: int | None = None,
) -> Metric:
    """Share of True in `correct` (`n`, bool) with Wilson's interval.

    Raises:
        AuditError: there are no examples.
    """
    if not len(correct):
        raise AuditError(f"{name} on {split}: no examples")
    hits = int(correct.sum())
    low, high = wilson(hits, len(correct))
    return Metric(
        metric=name,
        split=split,
        value=hits / len(correct),
        ci_low=float(low),
        ci_high=float(high),
        n=len(correct),
        higher_is=higher_is,
        param=param,
        label=label,
    )


def accuracy_direction(split: str) -> Direction:
    """A model that forgot is right on the forget set as often as a retrained one, not less often."""
    return "closer_to_retrained" if split == "forget" else "better"


def accuracies(split: str, outputs: Outputs) -> list[Metric]:
    """Accuracy on a split, and on each class that it holds."""
    direction = accuracy_direction(split)
    rows = [proportion("accuracy", split, outputs.correct, higher_is=direction)]
    for label in np.unique(outputs.labels):
        rows.append(
            proportion(
                "accuracy",
                split,
                outputs.correct[outputs.labels == label],
                higher_is=direction,
                label=int(label),
            )
        )
    return rows


def unlearning_accuracies(forget: Outputs, retain: Outputs, test: Outputs) -> list[Metric]:
    """The literature's triple: UA = 1 - accuracy on the forget set; RA on the retain, TA on the test set."""
    parts = (
        ("ua", "forget", ~forget.correct),
        ("ra", "retain", retain.correct),
        ("ta", "test", test.correct),
    )
    return [
        proportion(name, split, correct, higher_is="closer_to_retrained")
        for name, split, correct in parts
        if len(correct)
    ]


def accuracy_by_forgetting(test: Outputs, forgotten_classes: Iterable[int]) -> list[Metric]:
    """For class-wise forget sets: test accuracy on the retained classes and on the forgotten ones."""
    forgotten = np.isin(test.labels, np.array(sorted(forgotten_classes), dtype=np.int64))
    parts = (("ta_retained_classes", ~forgotten), ("ta_forgotten_classes", forgotten))
    return [
        proportion(name, "test", test.correct[rows], higher_is="closer_to_retrained")
        for name, rows in parts
        if rows.any()
    ]


def class_accuracy_gap(
    split: str,
    outputs: Outputs,
    *,
    generator: np.random.Generator,
    count: int = 1000,
) -> Metric:
    """Largest minus smallest class accuracy: fairness across classes.

    The bootstrap resamples examples within their class, which for counts of hits is a binomial draw. The gap
    is lifted by noise even between equal classes, so the interval is the reflected one.

    Raises:
        AuditError: fewer than two classes are present.
    """
    labels, inverse = np.unique(outputs.labels, return_inverse=True)
    if len(labels) < 2:
        raise AuditError(f"class_accuracy_gap on {split}: expected at least 2 classes, got {len(labels)}")
    sizes = np.bincount(inverse)
    rates = np.bincount(inverse, weights=outputs.correct) / sizes
    replicates = generator.binomial(sizes, np.clip(rates, 0, 1), size=(count, len(labels))) / sizes
    value = float(np.ptp(rates))
    low, high = reflected(value, np.ptp(replicates, axis=1))
    return Metric(
        metric="class_accuracy_gap",
        split=split,
        value=value,
        ci_low=low,
        ci_high=min(1.0, high),
        n=len(outputs),
        higher_is="worse",
    )
