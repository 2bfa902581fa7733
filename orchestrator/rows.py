"""From measured objects to rows and columns of the result tables."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from orchestrator.grid import build_attack, build_method, place
from orchestrator.plan import Cell, Plan
from tasks import fields
from tasks.metrics.base import Metric

if TYPE_CHECKING:
    from tasks.attacks.scores import MembershipScores
    from tasks.fairness import LayerGap
    from tasks.robustness import RobustOutputs
    from tasks.scoring import Outputs


def cell_row(plan: Plan, cell: Cell, *, run_id: str) -> dict[str, Any]:
    """The row of `cells` for a cell that finished; a failure overwrites status and error."""
    forget = plan.data.forget_sets[cell.forget_set]
    _, attack = build_attack(plan.config, cell.attack)
    _, method = build_method(plan.config, cell.method, cell.architecture, cell.scope)
    tuned = place(cell.architecture, cell.method, cell.scope) in plan.config.tuning.chosen
    return {
        "cell_id": cell.cell_id,
        "model_id": cell.model_id,
        "reference_id": cell.reference_id,
        "run_id": run_id,
        "dataset": plan.config.data.name,
        **cell.axes,
        "attack_family": attack.family,
        "attack_params_json": json.dumps(fields.to_plain(attack), sort_keys=True),
        "method_params_json": json.dumps(fields.to_plain(method), sort_keys=True),
        "forget_digest": forget.digest,
        "forget_size": len(forget.ids),
        "role": cell.role,
        "tuning_trials": plan.config.tuning.trials if tuned else None,
        "status": "finished",
        "attempt": 1,
        "host": socket.gethostname(),
    }


def metric_rows(cell_id: str, metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """Rows of `metrics`."""
    return [{"cell_id": cell_id, **dataclasses.asdict(metric)} for metric in metrics]


def outputs_table(outputs: Mapping[str, Outputs]) -> pa.Table:
    """Rows of `examples` for a model as it is: one for each split and example."""
    return _stack(
        {
            "split": np.full(len(o), split),
            "example_id": o.ids,
            "label": o.labels,
            "loss": o.loss,
            "phi": o.phi,
            "predicted": o.logits.argmax(axis=1),
            "correct": o.correct,
        }
        for split, o in outputs.items()
    )


def robust_table(found: Mapping[str, RobustOutputs]) -> pa.Table:
    """Rows of `examples` under an adversarial attack: one for each split, example and eps."""
    return _stack(
        {
            "split": np.full(len(o.ids), split),
            "example_id": o.ids,
            "label": o.labels,
            "eps": np.full(len(o.ids), float(eps)),
            "predicted": o.predictions[e],
            "correct": o.correct[e],
        }
        for split, o in found.items()
        for e, eps in enumerate(o.eps)
    )


def scores_table(scores: Sequence[MembershipScores], labels: np.ndarray) -> pa.Table:
    """Rows of `examples` under a membership attack: one for each statistic and example."""
    return _stack(
        {
            "split": np.where(s.member, "forget", "test"),
            "example_id": s.ids,
            "label": labels[s.ids],
            "statistic": np.full(len(s.ids), s.statistic),
            "member": s.member,
            "score": s.score,
        }
        for s in scores
    )


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


def _stack(blocks: Iterable[Mapping[str, np.ndarray]]) -> pa.Table:
    return pa.concat_tables([pa.table(dict(block)) for block in blocks])
