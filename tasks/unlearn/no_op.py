"""No unlearning: the original model as it is, the ceiling that every membership attack should reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import Method, register

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@register("no_op")
@dataclass(frozen=True, kw_only=True)
class NoOp(Method):
    """Leave the original model unchanged."""

    needs_retain: ClassVar[bool] = False
    passes: ClassVar[str] = "0"

    def __call__(self, run: UnlearningRun) -> None:
        """Do nothing."""
