"""A method that somebody else has run: its models are there, or what they answered. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.unlearn.base import Method

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@dataclass(frozen=True, kw_only=True)
class MadeElsewhere(Method):
    """A method of which nothing is known but its models, or what these answer."""

    passes: ClassVar[str] = "unknown"

    def __call__(self, run: UnlearningRun) -> None:
        """Refuse.

        Raises:
            AuditError: always.
        """
        raise AuditError("this method was run elsewhere; expected nobody to run it here")
