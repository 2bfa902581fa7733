"""What the kinds share: how many examples, which class is meant, and draws without replacement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.errors import AuditError, unknown_name
from tasks.fields import to_plain
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet


@dataclass(frozen=True, kw_only=True)
class Amount(ForgetKind):
    """How many examples to take: exactly one of `fraction` and `count`."""

    fraction: float | None = None
    """Share of the examples to choose from, in (0, 1]."""
    count: int | None = None
    """Number of examples."""

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.count is None):
            given = "neither" if self.fraction is None else "both"
            raise AuditError(f"fraction, count: expected exactly one of the two, got {given}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise AuditError(f"fraction: expected a number in (0, 1], got {self.fraction}")
        if self.count is not None and self.count < 1:
            raise AuditError(f"count: expected at least 1, got {self.count}")

    def of(self, available: int, *, what: str) -> int:
        """The number of examples to take out of `available`.

        Raises:
            AuditError: there are fewer, or the fraction rounds to none.
        """
        wanted = self.count if self.count is not None else round((self.fraction or 0) * available)
        if wanted > available:
            raise AuditError(f"count: expected at most {available} ({what}), got {wanted}")
        if wanted < 1:
            raise AuditError(f"fraction: {self.fraction} of {available} ({what}) rounds to no example")
        return wanted


def class_index(name: int | str, names: tuple[str, ...], *, where: str) -> int:
    """The label of a class: text is a name, a number is an index.

    Raises:
        AuditError: there is no such class.
    """
    if isinstance(name, str):
        if name in names:
            return names.index(name)
        raise unknown_name("class", name, names, where=where)
    if not 0 <= name < len(names):
        raise AuditError(f"{where}: expected a label in 0..{len(names) - 1}, got {name}")
    return name


def apportion(shares: np.ndarray, total: int) -> np.ndarray:
    """Split `total` in proportion to `shares` by largest remainder (Hamilton); ties go to the first.

    Args:
        shares: `k`, non-negative, not all zero.
        total: what the counts must sum to.

    Returns:
        `k`, int64, each within one of its exact proportion.
    """
    exact = np.asarray(shares, dtype=np.float64) / np.sum(shares) * total
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts


def draw(ids: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` of `ids` without replacement, sorted; a larger draw of the same stream holds the smaller."""
    return np.sort(generator.permutation(ids)[:count])


def draw_by_class(
    ids: np.ndarray, labels: np.ndarray, counts: Mapping[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Draw `counts[c]` of the `ids` of each class c, sorted."""
    chosen = [draw(ids[labels[ids] == label], counts[label], generator) for label in sorted(counts)]
    return np.sort(np.concatenate(chosen))


def members(request: ForgetRequest, label: int, *, where: str) -> np.ndarray:
    """Training examples of a class.

    Raises:
        AuditError: there is none.
    """
    ids = request.splits.train[request.labels.labels[request.splits.train] == label]
    if not len(ids):
        raise AuditError(f"{where}: class '{request.labels.class_names[label]}' has no training example")
    return ids


def make(kind_name: str, kind: Any, ids: np.ndarray, **extra: Any) -> ForgetSet:
    """The forget set of the given ids, with the kind, its parameters and `extra` as provenance."""
    provenance = {"kind": kind_name, **to_plain(kind), **extra}
    return ForgetSet(ids=np.sort(ids).astype(np.int64), provenance=provenance)
