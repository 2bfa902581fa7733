"""What a kind of forget set is, what it may read, and what it gives. Imports no torch."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tasks.datasets.base import Labels
from tasks.datasets.splits import Splits
from tasks.objectives.names import check_objectives
from tasks.registry import Registry


@dataclass(frozen=True, kw_only=True)
class ForgetRequest:
    """What a kind may read when it chooses examples."""

    labels: Labels
    splits: Splits
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Per-example scores of earlier stages (memorisation, privacy risk, features), each of length `N`."""
    hashes: Callable[[], np.ndarray] | None = None
    """Content hashes (`tasks.datasets.contents`), `N x 32`, uint8; reads every image, so called only if needed."""
    names: Callable[[], tuple[str, ...]] | None = None
    """What people call each example (`DataSource.names`), or nothing."""
    limited: bool = False
    """Whether these are a few examples of a data set, numbered anew."""


@dataclass(frozen=True, kw_only=True)
class ForgetSet:
    """The chosen examples and where they came from."""

    ids: np.ndarray
    """Sorted example ids, int64; a subset of the training split."""
    provenance: Mapping[str, Any]
    """Kind, parameters and whatever explains the choice; stored beside the results."""
    train_labels: Mapping[int, int] = field(default_factory=dict)
    """Labels that the *original* is trained with instead of the true ones (poisoned kinds)."""
    trigger: Mapping[str, Any] | None = None
    """Pixels stamped on the forget examples before the original is trained (backdoor kinds)."""
    notes: tuple[str, ...] = ()
    """What a plan says of how it was chosen (how a file was read)."""

    @property
    def poisons(self) -> bool:
        """Whether the set changes what the original is trained on, and so its identity."""
        return bool(self.train_labels) or self.trigger is not None

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted ids as little-endian int64."""
        return hashlib.sha256(np.sort(self.ids).astype("<i8").tobytes()).hexdigest()


class ForgetKind(ABC):
    """A frozen dataclass whose fields are the parameters of the choice."""

    version: ClassVar[int] = 1
    """Raised whenever equal parameters choose other examples."""
    objectives: ClassVar[frozenset[str]] = frozenset()
    """Names of the objectives (`tasks.objectives`) for whose examples it is; empty: every one."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the scores it reads; empty where labels and splits suffice (known at plan time)."""
        return ()

    @abstractmethod
    def select(self, request: ForgetRequest) -> ForgetSet:
        """Choose training examples.

        Raises:
            AuditError: the request cannot be met.
        """


forget_kinds: Registry[ForgetKind] = Registry(
    "forget-set kind",
    contract=ForgetKind,  # type: ignore[type-abstract]
    package="tasks.forget_sets",
    group="lethe.forget_sets",
    check=check_objectives,
)
register = forget_kinds.register
