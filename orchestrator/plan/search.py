"""The sweep that a search runs: trials as variants of methods, on a forget set that the audit never sees.

Imports neither torch nor ray.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from orchestrator.config.settings import SweepConfig
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet
from tasks.forget_sets.draw import draw_by_class, make
from tasks.forget_sets.groups import Groups
from tasks.forget_sets.resolve import resolve
from tasks.runtime.seeding import numpy_generator

FORGET_SET = "tuning"
"""Name of the forget set of every search."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig(SweepConfig):
    """A sweep over trials. Only a search makes one; hosts derive its plan as they do any other."""

    audited_forget_sets: tuple[str, ...]
    """Forget sets of the audit: the tuning forget set is like the first and disjoint from all."""
    points: tuple[tuple[str, str, str], ...]
    """Architecture, method and scope of each trial: the grid holds more than are asked for."""


def tuning_forget_set(kind: ForgetKind, audited: Sequence[ForgetSet], request: ForgetRequest) -> ForgetSet:
    """A forget set like the first audited one, drawn from what no audited one holds.

    Where that one consists of whole groups, as many others of which no audited one holds an example. Else the same
    kind, parameters and size where that is possible; of another class where the own class is used up; else as many
    examples of each class as the audited one has (or as are left).

    Args:
        kind: of the first audited forget set.
        audited: all of them, the first first.
        request: what the audit's choice was made from.

    Raises:
        AuditError: the audited forget sets leave too little.
    """
    first = audited[0]
    taken = np.unique(np.concatenate([forget.ids for forget in audited]))
    pool = np.setdiff1d(request.splits.train, taken)
    count = _whole_groups(first, request)
    if count:
        return _other_groups(count, taken, request)
    left = replace(request, splits=replace(request.splits, train=pool))
    for candidate in _alike(kind, len(first.ids), request.labels.num_classes):
        try:
            return resolve(candidate, left)
        except AuditError:
            continue
    return _same_mix(first, pool, request.labels.labels)


def _whole_groups(forget: ForgetSet, request: ForgetRequest) -> int:
    """How many groups a forget set consists of; 0 where it does not hold all training examples of each."""
    groups, train = request.labels.groups, request.splits.train
    if groups is None:
        return 0
    own = np.unique(groups[forget.ids])
    whole = np.array_equal(np.sort(train[np.isin(groups[train], own)]), np.sort(forget.ids))
    return len(own) if whole else 0


def _other_groups(count: int, taken: np.ndarray, request: ForgetRequest) -> ForgetSet:
    groups, train = request.labels.groups, request.splits.train
    assert groups is not None
    untouched = train[~np.isin(groups[train], groups[taken])]
    try:
        return resolve(Groups(count=count), replace(request, splits=replace(request.splits, train=untouched)))
    except AuditError:
        left = len(np.unique(groups[untouched]))
        raise AuditError(
            f"tuning: expected {count} groups of which no audited forget set holds an example, as the first forget set "
            f"is so many, and {left} are left; forget fewer groups, or audit fewer forget sets at once"
        ) from None


def _alike(kind: ForgetKind, size: int, num_classes: int) -> Iterator[ForgetKind]:
    """The kind with the size as a count, for its own class and then for each other one."""
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    sized = replace(kind, fraction=None, count=size) if {"fraction", "count"} <= names else kind  # type: ignore[type-var]
    yield sized
    if "label" in names:
        for label in range(num_classes):
            yield replace(sized, label=label)  # type: ignore[type-var]


def _same_mix(first: ForgetSet, pool: np.ndarray, labels: np.ndarray) -> ForgetSet:
    wanted = np.bincount(labels[first.ids], minlength=int(labels.max()) + 1)
    there = np.bincount(labels[pool], minlength=len(wanted))
    counts = {int(c): int(min(wanted[c], there[c])) for c in np.flatnonzero(np.minimum(wanted, there))}
    if not counts:
        raise AuditError("tuning: the audited forget sets leave no training example of their classes")
    generator = numpy_generator("tuning", "forget_set")
    return make("class_mix", {}, draw_by_class(pool, labels, counts, generator), like=first.digest)
