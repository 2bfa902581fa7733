"""From measured objects to rows and columns of the result tables."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from orchestrator.plan.cells import Cell, ModelSpec, ModelSubject, Plan
from orchestrator.plan.shadows import CANARY_POOL
from tasks import fields
from tasks.attacks.adversarial import Adversarial

if TYPE_CHECKING:
    from tasks.attacks.base import Attack
    from tasks.measure.fairness import LayerGap
    from tasks.metrics.base import MetricValue
    from tasks.shadows.canaries import Canaries

ELSEWHERE = "elsewhere"
"""Device of models that were made on no machine of ours; what it took nobody knows."""


def planned_row(plan: Plan, cell: Cell) -> dict[str, Any]:
    """Where a cell stands, run or not: its row of `plans`, without the run."""
    setting, attack = plan.settings[cell.cell_id], cell.named_attack.built
    return {
        "cell_id": cell.cell_id,
        "setting": setting.setting,
        "conditions": setting.conditions,
        "dataset": plan.config.data.name,
        **cell.axes,
        **{name: value for name, value in _forgotten(plan, cell, attack).items() if name != "forget_size"},
        "attack_family": attack.family,
        "role": cell.role,
        "shadow_set": None
        if isinstance(cell.subject, ModelSubject)
        else plan.shadow_sets[cell.architecture].set_id,
    }


def cell_row(plan: Plan, cell: Cell, *, run_id: str) -> dict[str, Any]:
    """The row of `cells` for a cell that finished; a failure overwrites status and error."""
    attack, method, subject = cell.named_attack.built, cell.named_method, cell.subject
    return {
        **planned_row(plan, cell),
        "model_id": subject.model_id if isinstance(subject, ModelSubject) else None,
        "group_id": None if isinstance(subject, ModelSubject) else subject.group_id,
        "reference_id": cell.reference_id,
        "run_id": run_id,
        "forget_size": _forgotten(plan, cell, attack)["forget_size"],
        "scale_free": attack.scale_free if isinstance(attack, Adversarial) else None,
        "attack_params_json": json.dumps(fields.to_plain(attack), sort_keys=True),
        "method_params_json": json.dumps(fields.to_plain(method.built), sort_keys=True),
        "num_shadows": plan.num_shadows(cell),
        "tuning_trials": plan.config.tuning.trials if method.tuned else None,
        "status": "finished",
        "host": socket.gethostname(),
    }


def model_row(plan: Plan, spec: ModelSpec, *, device: str) -> dict[str, Any]:
    """The row of `models` for a model that was made; what making it took is added, and a failure overwrites status."""
    data = plan.data
    params = spec.named_method.built if spec.named_method else None
    return {
        "model_id": spec.model_id,
        "setting": plan.settings[spec.model_id].setting,
        "kind": spec.kind,
        "dataset": plan.config.data.name,
        "dataset_digest": data.digest,
        "architecture": spec.architecture,
        "forget_set": spec.forget_set,
        "forget_digest": data.forget_sets[spec.forget_set].digest if spec.forget_set else None,
        "method": spec.method,
        "params_json": json.dumps(fields.to_plain(params) if params else {}, sort_keys=True),
        "scope": spec.scope,
        "seed": spec.seed,
        "replicate": spec.replicate,
        "parent_id": spec.original_id or spec.pretrained_id,
        "retrained_id": spec.retrained_id,
        "status": "finished",
        "device": device,
    }


def _forgotten(plan: Plan, cell: Cell, attack: Attack) -> dict[str, Any]:
    """Whose forgetting the cell is about: its forget set, or the canaries, whatever its place on that axis."""
    if attack.on_canaries:
        canaries = plan.shadow_sets[cell.architecture].layout.canaries
        assert canaries is not None
        return {
            "forget_set": CANARY_POOL,
            "forget_digest": canaries.digest,
            "forget_size": len(canaries.ids),
        }
    forget = plan.data.forget_sets[cell.forget_set]
    return {"forget_digest": forget.digest, "forget_size": len(forget.ids)}


def canary_rows(plan: Plan, canaries: Canaries) -> list[dict[str, Any]]:
    """Rows of `canaries`: in whose places they stand, and what shadow models learn of them."""
    images = canaries.images
    shared = {
        "dataset": plan.config.data.name,
        "canary_kind": canaries.kind,
        "images": None if images is None else images.provenance["images"],
        "provenance_json": json.dumps(canaries.provenance, sort_keys=True),
    }
    shown = [None] * len(canaries.ids) if images is None else images.image_ids.tolist()
    original = plan.data.labels.labels[canaries.ids]
    places = zip(canaries.ids.tolist(), canaries.labels.tolist(), original.tolist(), shown, strict=True)
    names = ("example_id", "label", "original_label", "image_id")
    return [{**shared, **dict(zip(names, place, strict=True))} for place in places]


def metric_rows(cell_id: str, metrics: Iterable[MetricValue]) -> list[dict[str, Any]]:
    """Rows of `metrics`."""
    return [{"cell_id": cell_id, **value.row()} for value in metrics]


def examples_table(blocks: Iterable[Mapping[str, np.ndarray]]) -> pa.Table:
    """Rows of `examples`: blocks of columns one under another, null where a block lacks a column."""
    tables = [pa.table(dict(block)) for block in blocks]
    if not tables:
        return pa.table({"split": pa.array([], pa.string()), "example_id": pa.array([], pa.int32())})
    return pa.concat_tables(tables, promote_options="default")


def layer_rows(cell_id: str, gaps: Iterable[LayerGap]) -> list[dict[str, Any]]:
    """Rows of `layers`: one for each layer and definition, then one for each of its classes."""
    rows = []
    for gap in gaps:
        row = {
            "cell_id": cell_id,
            "layer": gap.layer,
            "layer_index": gap.index,
            "kind": gap.kind,
            "definition": gap.definition,
            "gap": gap.gap,
            "ci_low": gap.gap_low,
            "ci_high": gap.gap_high,
            "relative_gap": gap.relative_gap,
            "baseline_gap": gap.baseline_gap,
            "n": gap.n,
        }
        rows.append(row)
        by_class = zip(gap.classes, gap.sigma_by_class, strict=True)
        rows.extend({**row, "label": label, "sigma": sigma} for label, sigma in by_class)
    return rows
