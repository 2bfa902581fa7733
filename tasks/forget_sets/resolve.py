"""Turn a kind into a checked forget set: the one way by which the audit gets example ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tasks.datasets.base import Labels
from tasks.errors import AuditError, unknown_name
from tasks.fields import check_plain
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet


def resolve(kind: ForgetKind, request: ForgetRequest) -> ForgetSet:
    """Run `kind.select` and check what it gives.

    Raises:
        AuditError: a score that the kind needs is missing, or the ids are empty, not sorted and unique
            int64, not all in the training split, or leave nothing to retain.
    """
    _check_scores(kind, request)
    forget_set = kind.select(request)
    if not isinstance(forget_set, ForgetSet) or not isinstance(forget_set.provenance, Mapping):
        raise AuditError(
            f"{type(kind).__name__}.select: expected a ForgetSet with a mapping as provenance, got {forget_set!r:.60}"
        )
    check_plain(forget_set.provenance, where=f"{type(kind).__name__}.select: provenance")
    name = str(forget_set.provenance.get("kind", type(kind).__name__))
    _check_ids(forget_set.ids, request, name)
    _check_train_labels(forget_set, request.labels, name)
    return forget_set


def describe(forget_set: ForgetSet, labels: Labels) -> dict[str, int]:
    """Forgotten examples by (true) class name; classes without any are left out."""
    counts = np.bincount(labels.labels[forget_set.ids], minlength=labels.num_classes)
    return {name: int(count) for name, count in zip(labels.class_names, counts, strict=True) if count}


def _check_scores(kind: ForgetKind, request: ForgetRequest) -> None:
    for name in kind.needs:
        if name not in request.scores:
            raise unknown_name("score", name, request.scores, where="forget_set")
        if len(request.scores[name]) != len(request.labels.labels):
            raise AuditError(
                f"score '{name}': expected {len(request.labels.labels)} rows, got {len(request.scores[name])}"
            )


def _check_ids(ids: np.ndarray, request: ForgetRequest, name: str) -> None:
    if not isinstance(ids, np.ndarray) or ids.ndim != 1 or ids.dtype != np.int64:
        told = f"{ids.dtype} {ids.shape}" if isinstance(ids, np.ndarray) else f"{ids!r:.60}"
        raise AuditError(f"forget set '{name}': expected int64 ids of shape (n,), got {told}")
    if not len(ids):
        raise AuditError(f"forget set '{name}': no example was chosen")
    if (np.diff(ids) <= 0).any():
        raise AuditError(f"forget set '{name}': ids must be sorted and unique")
    for split in ("test", "validation"):
        _refuse(np.isin(ids, getattr(request.splits, split)), ids, f"in the {split} split", name)
    _refuse(~np.isin(ids, request.splits.train), ids, "not in the training split", name)
    if len(ids) == len(request.splits.train):
        raise AuditError(f"forget set '{name}': all {len(ids)} training examples; nothing is left to retain")


def _refuse(mask: np.ndarray, ids: np.ndarray, fault: str, name: str) -> None:
    if mask.any():
        raise AuditError(
            f"forget set '{name}': {mask.sum()} of {len(ids)} ids {fault}, the first is {ids[mask.argmax()]}"
        )


def _check_train_labels(forget_set: ForgetSet, labels: Labels, name: str) -> None:
    stray = sorted(set(forget_set.train_labels) - set(forget_set.ids.tolist()))
    if stray:
        raise AuditError(
            f"forget set '{name}': relabels {len(stray)} retained examples, the first is {stray[0]}"
        )
    classes = range(labels.num_classes)
    wrong = [label for label in forget_set.train_labels.values() if label not in classes]
    if wrong:
        raise AuditError(
            f"forget set '{name}': training label {wrong[0]} outside 0..{labels.num_classes - 1}"
        )
