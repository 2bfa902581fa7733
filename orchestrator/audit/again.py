"""What results have to forget before it is computed again."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.audit.missing import Rerun, failed_rows, shadow_keys
from orchestrator.plan.cells import Cell, Plan
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.records.observations import path_of
from orchestrator.store import inventory
from orchestrator.store.store import Store

CELL_TABLES = ("cells", "metrics", "layers", "examples", "costs")
"""Where a cell has rows under its own id."""


def to_forget(
    plan: Plan, store: Store, cells: Sequence[Cell], rerun: Rerun
) -> tuple[set[str], dict[str, ShadowGroup]]:
    """Models, and shadow models by their key, that are made again for some cells: those that failed, or all."""
    if rerun == "none":
        return set(), {}
    part = plan.only(cell.cell_id for cell in cells)
    models, shadows = set(part.models), shadow_keys(part)
    if rerun == "all":
        return models, shadows
    failed = failed_rows(store, "models")
    return models & failed, {key: shadows[key] for key in shadows.keys() & failed}


def forget_results(plan: Plan, store: Store, cells: Sequence[Cell], rerun: Rerun) -> None:
    """Remove what is to be computed again: rows of cells, and the models behind them."""
    again = [cell.cell_id for cell in cells]
    wanted, shadows = to_forget(plan, store, cells, rerun)
    made = wanted | shadows.keys()
    inventory.strike(
        store,
        {(table, key) for table in CELL_TABLES for key in again}
        | {(table, key) for table in ("models", "costs", "weights", "observations") for key in made},
    )
    for table in ("cells", "metrics", "layers"):
        store.delete_all(table, again)
    for cell in cells:
        store.delete("examples", cell.cell_id, attack=cell.attack)
    # Observations first: a kill in between leaves rows of models that are then written again.
    for key, group in shadows.items():
        store.delete("observations", key, **path_of(group))
    store.delete_all("models", wanted | shadows.keys())
    for model_id in wanted:
        store.delete_blob("weights", model_id)
