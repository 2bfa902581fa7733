"""Who is for which objective, the line that refuses the others, and what attacks on single examples may read of each.

Imports no torch: the plan asks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from tasks.errors import AuditError, unknown_name

EXAMPLES = {"classify": "images", "language": "documents"}
"""What the examples of an objective are called."""
PHI = "phi"
"""The logit-scaled confidence, which every objective has."""
STATISTICS = {"classify": (PHI,), "language": (PHI, "min_k_pp", "min_k", "token_accuracy", "extraction")}
"""By objective, numbers of an example that attacks on single examples may read (`Objective.statistics`); a member's lie
higher."""
USUAL_STATISTICS = {"classify": (PHI,), "language": (PHI, "min_k_pp")}
"""Those that are read where none is named. A mean over tokens hides what the least likely ones show."""
BESIDE_PHI = tuple(dict.fromkeys(name for names in STATISTICS.values() for name in names if name != PHI))
"""Every statistic but phi, of any objective."""


class Declares(Protocol):
    """A method, an attack or a kind of forget sets."""

    @property
    def objectives(self) -> frozenset[str]:
        """Names of the objectives that it is for; empty: every one."""
        ...


def check_objectives(name: str, cls: type) -> None:
    """Refuse a class that is for an objective that there is not.

    Args:
        name: kind and name of the entry, for messages.
        cls: what declares its `objectives`.

    Raises:
        AuditError: one of them is unknown.
    """
    declared: Collection[str] = cls.objectives  # type: ignore[attr-defined]
    for objective in declared:
        if objective not in EXAMPLES:
            raise unknown_name("objective", str(objective), EXAMPLES, where=f"{name}: objectives")


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
