"""Who is for which objective, and the line that refuses the others. Imports no torch: the plan asks."""

from __future__ import annotations

from typing import Protocol

from tasks.errors import AuditError

EXAMPLES = {"classify": "images", "language": "documents"}
"""What the examples of an objective are called."""


class Declares(Protocol):
    """A method, an attack or a kind of forget sets."""

    @property
    def objectives(self) -> frozenset[str]:
        """Names of the objectives that it is for; empty: every one."""
        ...


def require_objective(part: Declares, name: str, *, instead: str = "") -> None:
    """Refuse examples of an objective that something is not for.

    Args:
        part: what declares its `objectives`.
        name: of the objective.
        instead: what to take in its place; empty: nothing is named.

    Raises:
        AuditError: it is for others.
    """
    if part.objectives and name not in part.objectives:
        valid = ", ".join(sorted(part.objectives))
        take = f"; take {instead}" if instead else ""
        raise AuditError(f"{type(part).__name__}: expected a model trained to {valid}, got {name}{take}")
