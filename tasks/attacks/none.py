"""No attack: the cell reports utility, distances to the retrained model and the fairness gap alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tasks.attacks.base import Attack, Family, register


@register("none")
@dataclass(frozen=True, kw_only=True)
class NoAttack(Attack):
    """Measure the model as it is."""

    family: ClassVar[Family] = "none"
