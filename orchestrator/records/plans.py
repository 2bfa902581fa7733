"""What a run asks for, recorded before any work: its cells, and what their settings are."""

from __future__ import annotations

from datetime import datetime

from orchestrator.config.settings import digest
from orchestrator.plan.cells import Plan
from orchestrator.records.provenance import run_identity, run_row
from orchestrator.records.rows import canary_rows, planned_row
from orchestrator.store.purges import purged
from orchestrator.store.runs import named_run, planned_cells
from orchestrator.store.stages import begun
from orchestrator.store.store import Store
from tasks.shadows.canaries import Canaries


def recorded(plan: Plan, store: Store) -> str | None:
    """Id of the latest run, if it had this configuration, asked for these cells, and its records are whole."""
    latest = named_run(store, None)
    if latest is None or latest.row["config_digest"] != digest(plan.config, 64):
        return None
    whole = {setting.setting for setting in plan.settings.values()} <= store.keys("settings")
    whole &= {canaries.digest for canaries in _canaries(plan, store)} <= store.keys("canaries")
    same = whole and planned_cells(store, latest) == {cell.cell_id for cell in plan.cells}
    return latest.run_id if same else None


def write_run(plan: Plan, store: Store, started: datetime, *, before: int) -> str:
    """Record a run: its settings, its plan, its canaries, and last the row that makes it count.

    Args:
        plan: what it asks for.
        store: the results.
        started: when.
        before: cells of the plan that had a row when the run began.

    Returns:
        Its id.
    """
    latest = named_run(store, None)
    ordinal = 1 if latest is None else 1 + latest.ordinal
    run_id = run_identity(plan.config, started, ordinal)
    settings = {setting.setting: setting for setting in plan.settings.values()}
    new = settings.keys() - store.keys("settings")
    store.write_all("settings", {name: settings[name].rows() for name in sorted(new)})
    store.write("plans", run_id, [planned_row(plan, cell) for cell in plan.cells])
    for canaries in _canaries(plan, store):
        store.write("canaries", canaries.digest, canary_rows(plan, canaries))
    counts = {"cells": len(plan.cells), "models": len(plan.models), "cells_before": before}
    told = {**counts, "notes": list(plan.notes)}
    row = run_row(plan, run_id=run_id, ordinal=ordinal, started=started, planned=told)
    store.write("runs", run_id, [row | {"stages_json": begun(_kinds(plan), store)}])
    return run_id


def _kinds(plan: Plan) -> dict[str, str]:
    """The kind of every model of the plan, by id."""
    kinds: dict[str, str] = {model_id: spec.kind for model_id, spec in plan.models.items()}
    for group in plan.shadow_groups.values():
        shadows = range(plan.shadow_sets[group.architecture].layout.num_shadows)
        kinds |= dict.fromkeys(map(group.key, shadows), "shadow")
    return kinds


def _canaries(plan: Plan, store: Store) -> set[Canaries]:
    """Canaries whose ids the results hold; none once they were purged."""
    if "canaries" in purged(store):
        return set()
    layouts = [shadows.layout for shadows in plan.shadow_sets.values()]
    return {layout.canaries for layout in layouts if layout.canaries is not None}
