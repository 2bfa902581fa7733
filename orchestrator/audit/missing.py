"""What results lack of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from orchestrator.audit.incomplete import Incomplete, incomplete
from orchestrator.plan.cells import Cell, ModelSpec, Plan
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.store import inventory
from orchestrator.store.purges import purge_line, purged, unrecorded
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from tasks.errors import AuditError

Rerun = Literal["none", "failed", "all"]
"""What is computed again of the cells that are there: nothing, those that failed, or all."""


def missing_cells(plan: Plan, store: Store, rerun: Rerun, again: Incomplete) -> list[Cell]:
    """Cells without a row, or whose other rows are lost; with `rerun` also those to be replaced.

    Args:
        plan: what is asked for.
        store: the results.
        rerun: what is computed again of what is there.
        again: what of the plan is incomplete.
    """
    done = whole_cells(plan, store, again) if rerun != "all" else set()
    if rerun == "failed":
        done -= failed_rows(store, "cells")
        broken = failed_groups(store)
        done -= {cell.cell_id for cell in plan.cells if broken and plan.stages(cell) & broken}
    return [cell for cell in plan.cells if cell.cell_id not in done]


def check_purged(plan: Plan, store: Store, rerun: Rerun) -> None:
    """Refuse to compute anew what was purged, unless that is asked for.

    Where the record of a purge is lost, nothing tells what was purged from what has gone by accident, so that
    everything that is missing may be what somebody wanted deleted: a sweep asks before it makes it again.

    Raises:
        AuditError: results are purged, and cells of the plan, or models behind them, would be made again.
    """
    line = purge_line(store) if rerun == "none" else ""
    if not line:
        return
    missing = missing_cells(plan, store, rerun, incomplete(plan, store))
    models = missing_models(plan, store, missing) if unrecorded(store) else []
    if missing or models:
        told = f"{len(missing)} cells" + (f" and {len(models)} models" if models else "")
        raise AuditError(
            f"results: {store.root} was {line}; {told} of this plan are missing, and what they rest on "
            "would be computed again: --rerun failed does so, and keeps the cells that are there; or use another --out"
        )


def whole_cells(plan: Plan, store: Store, again: Incomplete) -> set[str]:
    """Ids of the cells that failed, or that finished and still have all that they wrote and were measured on.

    A file that was removed or moved aside since (`query --repair`) takes its cell with it. A failure beside numbers
    was copied over a cell that another had finished. What was purged is not lost.
    """
    done, failed = store.keys("cells"), failed_rows(store, "cells")
    metrics = store.keys("metrics")
    examples = store.keys("examples")
    if "examples" in purged(store):
        examples = metrics - {key for part, key in inventory.lost(store) if part == "examples"}
    measured = metrics & examples & store.keys("costs")
    plain = {cell.cell_id for cell in plan.cells if cell.attack == "none"}
    lost = plain - store.keys("layers")
    unmade = {m.model_id for m in plan.models.values() if m.kind == "unlearned"} - store.keys("models")
    lost |= {cell.cell_id for cell in plan.cells if cell.subject.id in unmade or again.concerns(plan, cell)}
    return ((done - failed) & measured) - lost | ((failed & done) - metrics)


def missing_models(plan: Plan, store: Store, cells: Sequence[Cell]) -> list[ModelSpec]:
    """Models to train from scratch, costliest kinds spread by their order: those of the given cells, and the lost."""
    again = {cell.cell_id for cell in cells}
    whole = {cell.cell_id for cell in plan.cells} - again - failed_rows(store, "cells")
    needed, behind = plan.only(again).models, plan.only(whole).models
    stored, failed = store.blob_keys("weights"), failed_rows(store, "models")
    lost = behind.keys() - failed if "weights" not in purged(store) else set()
    return [
        spec
        for spec in plan.trained()
        if spec.model_id not in stored and (spec.model_id in needed or spec.model_id in lost)
    ]


def failed_rows(store: Store, table: Literal["cells", "models"]) -> set[str]:
    """Ids of the cells, or of the models and the work on shadow models, whose row says that they failed."""
    key = TABLES[table].key
    rows = store.read(table).select([key, "status"]).to_pylist()
    return {row[key] for row in rows if row["status"] == "failed"}


def failed_groups(store: Store) -> set[str]:
    """Ids of the groups of shadow models of which one failed: their cells rest on fewer."""
    table = store.read("models").select(["parent_id", "kind", "status"]).to_pylist()
    return {row["parent_id"] for row in table if (row["kind"], row["status"]) == ("shadow", "failed")}


def failed_shadows(plan: Plan, store: Store) -> int:
    """Shadow models of the plan that failed in a group: in training, or under one method on some draw."""
    return len(shadow_keys(plan).keys() & failed_rows(store, "models")) if plan.shadow_groups else 0


def shadow_keys(plan: Plan) -> dict[str, ShadowGroup]:
    """Key in the results of every shadow model of every group."""
    sizes = {name: shadows.layout.num_shadows for name, shadows in plan.shadow_sets.items()}
    return {g.key(j): g for g in plan.shadow_groups.values() for j in range(sizes[g.architecture])}
