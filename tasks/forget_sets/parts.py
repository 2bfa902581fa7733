"""Forget sets that a data set names itself, such as TOFU's forget10."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import AuditError, unknown_name
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import make


@register("part")
@dataclass(frozen=True, kw_only=True)
class Part(ForgetKind):
    """The training examples of a part that the data set has a name for; its others are counted in the provenance."""

    name: str
    """Of the part, such as forget10."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Take what is trained on of the part."""
        parts = request.labels.parts
        if not parts:
            raise AuditError("expected a data set with named parts (tofu), got one without; take random")
        if self.name not in parts:
            raise unknown_name("part", self.name, parts, where="name")
        ids = parts[self.name][np.isin(parts[self.name], request.splits.train)]
        if not len(ids):
            raise AuditError(f"name: part '{self.name}' has no training example")
        return make("part", self, ids, not_trained_on=len(parts[self.name]) - len(ids))
