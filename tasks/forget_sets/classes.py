"""Forget sets that are a class, a part of a class, or a sub-class inside a super-class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import Amount, class_index, draw, make, members
from tasks.runtime.seeding import numpy_generator


@register("class")
@dataclass(frozen=True, kw_only=True)
class WholeClass(ForgetKind):
    """Every training example of a class; the retrained model never predicts it."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    label: int | str
    """Index or name of the class."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Take the whole class."""
        label = class_index(self.label, request.labels.class_names, where="label")
        ids = members(request, label, where="label")
        return make("class", self, ids, class_name=request.labels.class_names[label])


@register("partial_class")
@dataclass(frozen=True, kw_only=True)
class PartialClass(Amount):
    """Some training examples of one class (100 of class 5 in SCRUB, 10 % of a class in TMU)."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    label: int | str
    """Index or name of the class."""
    draw: int = 0
    """Which of the independent draws."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Draw inside the class."""
        label = class_index(self.label, request.labels.class_names, where="label")
        ids = members(request, label, where="label")
        name = request.labels.class_names[label]
        count = self.of(len(ids), what=f"training examples of class '{name}'")
        generator = numpy_generator("forget_set", "partial_class", self.draw, label)
        return make("partial_class", self, draw(ids, count, generator), class_name=name)


@register("sub_class")
@dataclass(frozen=True, kw_only=True)
class SubClass(ForgetKind):
    """A fine class inside a super-class, such as rocket in CIFAR-100 learnt with labels = "coarse"."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    fine: int | str
    """Index or name of the fine class."""
    coarse: int | str | None = None
    """Index or name of its super-class; checked where it is given."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Take every training example of the fine class."""
        labels, train = request.labels, request.splits.train
        if labels.fine_labels is None or labels.coarse_labels is None:
            raise AuditError("sub_class: the data set has no fine and coarse labels; cifar100 has them")
        fine = class_index(self.fine, labels.fine_names, where="fine")
        ids = train[labels.fine_labels[train] == fine]
        name = labels.fine_names[fine]
        if not len(ids):
            raise AuditError(f"fine: class '{name}' has no training example")
        parent = labels.coarse_names[np.bincount(labels.coarse_labels[ids]).argmax()]
        self._check_parent(name, parent, labels.coarse_names)
        return make("sub_class", self, ids, class_name=name, super_class=parent)

    def _check_parent(self, name: str, parent: str, names: tuple[str, ...]) -> None:
        if self.coarse is None:
            return
        wanted = names[class_index(self.coarse, names, where="coarse")]
        if wanted != parent:
            raise AuditError(f"coarse: '{name}' belongs to '{parent}', not to '{wanted}'")
