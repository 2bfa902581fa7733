"""Which shadow models a run has to work on, in the batches that are trained together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from orchestrator.plan.cells import Cell, Plan, ShadowSubject
from orchestrator.records.observations import missing_groups
from orchestrator.store.store import Store


def shadow_batches(plan: Plan, store: Store, cells: Iterable[Cell]) -> list[tuple[str, list[int]]]:
    """Shadow models whose observations are incomplete, by architecture and batch.

    Args:
        plan: the whole grid.
        store: results so far.
        cells: that are to be measured; none of them rests on shadow models: there are no batches.
    """
    if not any(isinstance(cell.subject, ShadowSubject) for cell in cells):
        return []
    size = plan.config.shadows.batch
    found: list[tuple[str, list[int]]] = []
    for architecture in plan.shadow_sets:
        numbers = sorted(missing_groups(plan, store, architecture))
        batches = itertools.groupby(numbers, key=lambda shadow: shadow // size)
        found += [(architecture, list(batch)) for _, batch in batches]
    return found


def runs_left(plan: Plan, store: Store, batches: Iterable[tuple[str, Sequence[int]]]) -> int:
    """How many trainings and unlearnings of some batches are not observed yet: one for each shadow model and group."""
    numbers: dict[str, set[int]] = {}
    for architecture, batch in batches:
        numbers.setdefault(architecture, set()).update(batch)
    missing = {architecture: missing_groups(plan, store, architecture) for architecture in numbers}
    return sum(len(missing[name].get(shadow, ())) for name, batch in numbers.items() for shadow in batch)
