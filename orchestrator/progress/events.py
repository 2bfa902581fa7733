"""What a running sweep tells its audience; backends emit, displays show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A kind of work that a run will do."""

    name: str
    """training, shadow models or cells: the name of its phase event."""
    units: Mapping[str, int]
    """Group -> units of work; units of one group are expected to take equally long."""
    expected: Mapping[str, float]
    """Group -> seconds of one unit, from past costs; groups without any are absent."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What one process holds on its device."""

    machine: str
    process: int
    device: str
    """cpu, or the name of the accelerator."""
    used: int
    """Bytes: resident memory of the process on a CPU, what torch has reserved on an accelerator."""
    total: int
    """Bytes of the machine or of the accelerator."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened."""

    kind: Literal["stages", "phase", "model", "cell", "shadow", "part", "note", "stopping"]
    """stages: what will run; phase: one of these begins; model, cell, shadow: one unit of it ended; part: parts of
    units that take long ended; note: a line for the user; stopping: what runs is finished and nothing new begins."""
    name: str
    """What it was, readable ("resnet scrub last-1 fgsm random 0")."""
    status: Literal["started", "finished", "failed"] = "finished"
    seconds: float = 0.0
    """How long the unit took where it ran; 0 where unknown."""
    error: str = ""
    total: int = 0
    """Units of work of a phase."""
    parts: int = 0
    """Parts that the units of a phase consist of; of a part event how many have ended since the last."""
    group: str = ""
    """Group of the unit, as in `Stage.units`."""
    stages: tuple[Stage, ...] = ()
    workers: int | None = None
    """With stages: units that run at once, where that is known before they run."""
    memory: Memory | None = None
    """Of the process that did the unit, when it had ended."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a worker says of a unit (or batch) of work that has ended."""

    problems: tuple[str, ...] = ()
    """Why it failed, wholly or in parts."""
    seconds: float = 0.0
    memory: Memory | None = field(default=None)


Listener = Callable[[Event], None]
