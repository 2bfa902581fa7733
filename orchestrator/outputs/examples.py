"""The examples that outputs are about: labels, splits and forget sets, as a plan needs them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from orchestrator.plan.data import DataPlan
from tasks.datasets.base import DataSource, Labels
from tasks.datasets.splits import Splits
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetSet
from tasks.forget_sets.listed import check_listed

NO_LABEL = -1
"""Stands in every table where labels are not given."""

MOST_CLASSES = 1 << 20
"""More than any data set has; each class gets a name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownExamples(DataSource):
    """Examples of which nothing is known but their labels."""

    labels: np.ndarray
    """`N`, int64; -1 where they are not given."""
    num_classes: int
    """0 where labels are not given."""
    is_test: np.ndarray
    """`N`, bool."""

    holds_inputs: ClassVar[bool] = False

    def digest(self) -> str:
        """Of the labels."""
        return hashlib.sha256(
            f"{self.num_classes} ".encode() + self.labels.astype("<i8").tobytes()
        ).hexdigest()

    def read_labels(self) -> Labels:
        """Labels; there are no images to tell the shape of."""
        return Labels(
            labels=self.labels, is_test=self.is_test, class_names=tuple(map(str, range(self.num_classes)))
        )

    def read_images(self) -> np.ndarray:
        """Refuse.

        Raises:
            AuditError: always.
        """
        raise AuditError(
            "outputs: there are no images: nothing is known of the examples but what models answered"
        )


def plan_examples(
    *,
    num_examples: int,
    labels: np.ndarray | None,
    num_classes: int,
    test: np.ndarray,
    validation: np.ndarray,
    forget_sets: Mapping[str, np.ndarray],
    named_by: Mapping[str, str],
) -> DataPlan:
    """The data of a plan.

    Args:
        num_examples: `N`.
        labels: `N`, integers; None where they are not given.
        num_classes: of the logits; 0 where there are none.
        test: ids of the examples that no model was trained on.
        validation: ids of those that were kept apart otherwise.
        forget_sets: ids by name.
        named_by: file of `labels`, and of every forget set by its name.

    Raises:
        AuditError: a label is out of range, or a forget set holds what is no training example.
    """
    known = np.full(num_examples, NO_LABEL, dtype=np.int64) if labels is None else labels.astype(np.int64)
    if labels is not None:
        num_classes = num_classes or min(int(known.max(initial=0)) + 1, MOST_CLASSES)
        _check_labels(known, num_examples, num_classes, named_by["labels"])
    both = np.intersect1d(test, validation)
    if len(both):
        raise AuditError(f"validation: expected none of the test examples, got example {both[0]}")
    train = np.setdiff1d(np.arange(num_examples), np.concatenate([test, validation]))
    if not len(train) or not len(test):
        raise AuditError("test: expected some of the examples, and not all")
    splits = Splits(train=train, validation=np.sort(validation), test=np.sort(test))
    for name, ids in forget_sets.items():
        check_listed(ids, splits, num_examples=num_examples, where=named_by[name])
        if not 0 < len(ids) < len(train):
            raise AuditError(
                f"{named_by[name]}: expected some of the training examples, and not all; got {len(ids)}"
            )
    is_test = np.isin(np.arange(num_examples), test)
    source = KnownExamples(labels=known, num_classes=num_classes, is_test=is_test)
    known.setflags(write=False)
    return DataPlan(
        source=source,
        digest=source.digest(),
        labels=source.read_labels(),
        splits=splits,
        forget_sets={
            name: ForgetSet(ids=np.sort(ids), provenance={"kind": "given"})
            for name, ids in forget_sets.items()
        },
    )


def _check_labels(labels: np.ndarray, num_examples: int, num_classes: int, where: str) -> None:
    if len(labels) != num_examples:
        raise AuditError(f"{where}: expected {num_examples} labels as there are examples, got {len(labels)}")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        raise AuditError(
            f"{where}: example {outside[0]}: expected a label from 0 to {num_classes - 1}, got {labels[outside[0]]}"
        )
