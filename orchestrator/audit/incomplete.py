"""Work of which a part has gone, and the rest of it that goes too, so that a sweep makes it again as a whole.

A model is a row, its weights where they were kept, and the shared stages that it rests on; a shadow model is a row,
weights likewise, and observations; work on a shadow model is a row, its stages, and observations. Each may be lost
by itself, or be half of two results that were copied into one directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.plan.cells import Cell, ModelSubject, Plan
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.records.observations import path_of
from orchestrator.store import inventory
from orchestrator.store.damage import SHARED, WEIGHTS
from orchestrator.store.json_columns import json_column
from orchestrator.store.purges import purged
from orchestrator.store.store import Store

COST_COLUMNS = (
    "model_id",
    "device",
    "seconds",
    "device_seconds",
    "peak_bytes",
    "samples",
    "forward_samples",
    "trainable_parameters",
    "finished_at",
)
"""What a row of `costs` tells of the making of a model that its row in `models` tells too."""


@dataclass(frozen=True, kw_only=True)
class Incomplete:
    """What a plan has to make again although something of it is there."""

    models: frozenset[str]
    """Models whose row and weights go."""
    stages: frozenset[str]
    """Shared stages whose tensors go."""
    observations: Mapping[str, ShadowGroup]
    """Work on shadow models, by its key."""
    uncosted: Mapping[str, Mapping[str, Any]]
    """Rows of models that are whole but for what they cost, which is written again from there."""

    def concerns(self, plan: Plan, cell: Cell) -> bool:
        """Whether what a cell measures is made again: only a cell makes an unlearned model."""
        if isinstance(cell.subject, ModelSubject):
            return cell.subject.id in self.models and plan.models[cell.subject.id].kind == "unlearned"
        return not plan.stages(cell).isdisjoint(self._groups)

    @cached_property
    def _groups(self) -> frozenset[str]:
        return frozenset(group.group_id for group in self.observations.values())


def incomplete(plan: Plan, store: Store) -> Incomplete:
    """Compare what is there of the models and shadow models of a plan with what each consists of."""
    table = store.read("models")
    columns = ("status", "rests_on_json", *COST_COLUMNS)
    rows = {row["model_id"]: row for row in table.select(columns).to_pylist()}
    costs, weights = store.keys("costs"), store.blob_keys(WEIGHTS)
    lost = inventory.lost(store)
    stages = {
        key: set(json_column(row["rests_on_json"], list, where="models.rests_on_json")) - costs
        for key, row in rows.items()
    }
    finished = {key for key, row in rows.items() if row["status"] == "finished"}
    measured = _measured(store)
    models = set()
    for model_id in plan.models:
        if model_id in finished:
            broken = (WEIGHTS, model_id) in lost or bool(stages[model_id])
        else:  # a failure that was copied over what another had finished, or a kill before the row was written
            broken = model_id in weights or (model_id in rows and model_id in measured)
        if broken:
            models.add(model_id)
    partial = {key for key in rows if stages[key]}
    return Incomplete(
        models=frozenset(models),
        stages=frozenset().union(*stages.values()),
        observations=_observations(plan, store, recorded=rows.keys(), partial=partial, lost=lost),
        uncosted={
            key: rows[key]
            for key in plan.models.keys() & finished - costs - models
            if rows[key]["seconds"] is not None  # of a finished model that was given nobody knows
        },
    )


def discard(found: Incomplete, plan: Plan, store: Store) -> None:
    """Remove what is left of incomplete work, and write again what can be told without it.

    Inventories go on listing it: after a kill before it is made again it is still missed.
    """
    for key in sorted(found.stages):
        store.delete_blob(SHARED, key)
    for key, group in found.observations.items():
        store.delete("observations", key, **path_of(group))
    for model_id in sorted(found.models):
        store.delete_blob(WEIGHTS, model_id)
    if found.models:
        store.delete_all("models", found.models)
    for key, row in found.uncosted.items():
        cost = {column: row[column] for column in COST_COLUMNS}
        store.write("costs", key, [{**cost, "stage": plan.models[key].stage}])


def _measured(store: Store) -> set[str]:
    """Models that a finished cell measures."""
    cells = store.read("cells").select(["model_id", "status"]).to_pylist()
    return {row["model_id"] for row in cells if row["status"] == "finished" and row["model_id"]}


def _observations(
    plan: Plan, store: Store, *, recorded: Set[str], partial: Set[str], lost: Set[inventory.Held]
) -> dict[str, ShadowGroup]:
    """Work on shadow models of which some part has gone, the observations themselves or another.

    Args:
        plan: the whole plan.
        store: the results.
        recorded: keys of work that has a row, which is written before its observations.
        partial: of these, what rests on a stage that has gone.
        lost: what the results held once.
    """
    if not plan.shadow_groups or "observations" in purged(store):
        return {}
    shadows, observed = store.keys("shadows"), store.keys("observations")
    found: dict[str, ShadowGroup] = {}
    for group in plan.shadow_groups.values():
        shadow_set = plan.shadow_sets[group.architecture]
        base = group == shadow_set.base()
        for number in range(shadow_set.layout.num_shadows):
            key, shadow_id = group.key(number), shadow_set.shadow_id(number)
            if key in observed:
                unrecorded = base and (shadow_id not in shadows or (WEIGHTS, shadow_id) in lost)
                broken = key not in recorded or key in partial or unrecorded
            else:
                broken = key in recorded or ("observations", key) in lost
            if broken:
                found[key] = group
    return found
