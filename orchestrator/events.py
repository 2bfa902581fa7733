"""What a running sweep tells its audience; backends emit, displays show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened."""

    kind: Literal["phase", "model", "cell", "shadow", "note"]
    """phase: a new kind of work begins; model, cell, shadow: one of them ended; note: a line for the user."""
    name: str
    """What it was, readable ("resnet scrub last-1 random fgsm seed 0")."""
    status: Literal["started", "finished", "failed"] = "finished"
    seconds: float = 0.0
    error: str = ""
    total: int = 0
    """Units of work of a phase."""


Listener = Callable[[Event], None]
