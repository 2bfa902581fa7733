"""What a backend is given and what it promises. All go through the same workbench and give the same rows."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.plan.cells import Cell, ModelSpec, Plan
from orchestrator.progress.events import Listener
from orchestrator.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is missing of a plan, and where results go."""

    plan: Plan
    store: Store
    run_id: str
    models: Sequence[ModelSpec]
    """Models to train from scratch before any cell, in order."""
    shadows: Sequence[tuple[str, list[int]]]
    """Batches of shadow models whose observations are incomplete, by architecture."""
    cells: Sequence[Cell]
    """Cells to measure, in order."""
    listener: Listener
    stop: threading.Event
    """Set by the first Ctrl-C: finish what runs, start nothing new."""


class Backend(Protocol):
    """Runs work to its end, or until `work.stop` is set."""

    def run(self, work: Work) -> None:
        """Compute every missing model and cell; a failure of one never ends the others."""
        ...
