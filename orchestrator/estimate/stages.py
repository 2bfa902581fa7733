"""What the stages of a run are expected to take, for the display of its progress."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.estimate.past import Past, Spent
from orchestrator.plan.cells import Cell, ModelSpec, Plan
from orchestrator.progress.events import Stage
from orchestrator.progress.units import cell_group, model_group
from orchestrator.records.observations import missing_groups
from orchestrator.store.store import Store


def stages(
    plan: Plan,
    past: Past,
    *,
    models: Sequence[ModelSpec],
    shadows: Iterable[tuple[str, Sequence[int]]],
    cells: Sequence[Cell],
    store: Store,
) -> tuple[Stage, ...]:
    """What a run will do, for the display of its progress.

    Args:
        plan: the whole grid.
        past: what such stages took.
        models: to be trained.
        shadows: batches of shadow models by architecture.
        cells: to be measured.
        store: results so far.
    """
    numbers: Counter[str] = Counter()
    for architecture, batch in shadows:
        numbers[architecture] += len(batch)
    return (
        Stage(
            name="shadow models", units=dict(numbers), expected=_expected_shadows(plan, past, store, numbers)
        ),
        Stage(
            name="training",
            units=dict(Counter(model_group(spec) for spec in models)),
            expected=expected_models(past, models),
        ),
        Stage(
            name="cells",
            units=dict(Counter(cell_group(cell) for cell in cells)),
            expected=expected_cells(plan, past, cells),
        ),
    )


def _expected_shadows(plan: Plan, past: Past, store: Store, numbers: Mapping[str, int]) -> dict[str, float]:
    """Architecture -> wall seconds of a shadow model with all its unlearning; absent where one is unknown."""
    expected = {}
    for architecture, count in numbers.items():
        groups = [g for found in missing_groups(plan, store, architecture).values() for g in found]
        each = [past.shadows.get((g.architecture, g.method, g.scope)) for g in groups]
        if each and None not in each:
            expected[architecture] = math.fsum(s for s in each if s is not None) / count
    return expected


def expected_cells(plan: Plan, past: Past, cells: Iterable[Cell]) -> dict[str, float]:
    """Group of cells -> wall seconds of one, with its share of the unlearning; unknown groups are absent."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    unknown: set[str] = set()
    cells = list(cells)
    attacks: defaultdict[str, int] = defaultdict(int)
    for cell in cells:
        attacks[cell.subject.id] += 1
    for cell in cells:
        spent = past.of_cell(cell)
        spec = plan.models.get(cell.subject.id)
        making = past.of_model(spec) if spec is not None and spec.kind == "unlearned" else Spent(0.0, 0.0)
        if spent is None or making is None:
            unknown.add(cell_group(cell))
        else:
            found[cell_group(cell)].append(spent.seconds + making.seconds / attacks[cell.subject.id])
    return {group: math.fsum(s) / len(s) for group, s in found.items() if group not in unknown}


def expected_models(past: Past, models: Iterable[ModelSpec]) -> dict[str, float]:
    """Group of models -> wall seconds of training one; unknown groups are absent."""
    spent = {model_group(spec): past.of_model(spec) for spec in models}
    return {group: each.seconds for group, each in spent.items() if each is not None}
