"""Forget sets of whole groups: all training examples of some persons, as a deletion request names them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import AuditError, UnknownName, nearest
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import Amount, draw, make
from tasks.runtime.seeding import numpy_generator


@register("group")
@dataclass(frozen=True, kw_only=True)
class Group(ForgetKind):
    """Every training example of one group (the documents of one person)."""

    name: str
    """Of the group."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Take the whole group."""
        groups, names = _groups(request), request.labels.group_names
        if self.name not in names:
            raise UnknownName(
                f"name: expected one of the {len(names)} groups of the data set, got '{self.name}'."
                f"{nearest(self.name, names)}"
            )
        ids = _members(request, groups, np.array([names.index(self.name)]))
        if not len(ids):
            raise AuditError(f"name: group '{self.name}' has no training example")
        return make("group", self, ids)


@register("groups")
@dataclass(frozen=True, kw_only=True)
class Groups(Amount):
    """Every training example of some groups at random; `fraction` and `count` are of groups."""

    draw: int = 0
    """Which of the independent draws."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Draw groups without replacement."""
        groups = _groups(request)
        present = np.unique(groups[request.splits.train])
        count = self.of(len(present), what="groups with training examples")
        drawn = draw(present, count, numpy_generator("forget_set", "groups", self.draw))
        named = [request.labels.group_names[number] for number in drawn]
        return make("groups", self, _members(request, groups, drawn), groups=named)


def _groups(request: ForgetRequest) -> np.ndarray:
    groups = request.labels.groups
    if groups is None:
        raise AuditError("expected a data set whose examples belong to groups, got one without; take random")
    return groups


def _members(request: ForgetRequest, groups: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    train = request.splits.train
    return train[np.isin(groups[train], chosen)]
