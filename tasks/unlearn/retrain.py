"""Retraining from scratch on the retain set: the reference, a second one that shows the noise floor, and a third.

They are trained by the orchestrator with the recipe of the original (`tasks.training.train`), from an
initialisation and a data order of their own, and shared by all methods and scopes of a forget set. They are
registered so that the grid, the plan and the tables know them as methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.unlearn.base import Method, register

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@register("retrain")
@dataclass(frozen=True, kw_only=True)
class Retrain(Method):
    """The retrained model: trained from scratch on the retain set alone."""

    needs_retain: ClassVar[bool] = True
    from_scratch: ClassVar[bool] = True
    passes: ClassVar[str] = "E*nr"

    def __call__(self, run: UnlearningRun) -> None:
        """Refuse: there is no original model to start from.

        Raises:
            AuditError: always.
        """
        raise AuditError(
            "retrain: expected training from scratch on the retain set, got an unlearning run (from_scratch)"
        )


@register("retrain_again")
@dataclass(frozen=True, kw_only=True)
class RetrainAgain(Retrain):
    """A second retrained model, fed in as a method: its distance to the first is the noise floor."""

    replicate: ClassVar[int] = 1


@register("retrain_third")
@dataclass(frozen=True, kw_only=True)
class RetrainThird(Retrain):
    """A third retrained model, judged as if it were a method: what an audit says of one that has forgotten."""

    replicate: ClassVar[int] = 2
