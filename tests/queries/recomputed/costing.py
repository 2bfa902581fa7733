"""Queries over what was paid."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from tests.queries.recomputed.arithmetic import (
    Row,
    column,
    gathered,
    mean,
    most,
    not_below_zero,
    of_seeds,
    over,
    total,
)
from tests.queries.recomputed.beside_retraining import whole
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import AT, Standing

STAGE = ("stage", "device", "dataset", "architecture", "method", "scope", "attack", "setting")


def paid(row: Row | None) -> float | None:
    """Device seconds, or seconds where these were not taken."""
    if row is None:
        return None
    return row["seconds"] if row["device_seconds"] is None else row["device_seconds"]


@recomputed()
def model_costs(at: Standing) -> Iterator[Row]:
    yield from at.model_costs


@recomputed()
def cost_by_stage(at: Standing) -> Iterator[Row]:
    for key, rows in gathered(at.costs, *STAGE):
        yield key | {
            "stages": len(rows),
            "seconds": math.fsum(column(rows, "seconds")),
            "median_seconds": statistics.median(column(rows, "seconds")),
            "device_seconds": total(column(rows, "device_seconds")),
            "peak_bytes": most(column(rows, "peak_bytes")),
            "samples": total(column(rows, "samples")),
            "forward_samples": total(column(rows, "forward_samples")),
            "trainable_parameters": most(column(rows, "trainable_parameters")),
        }


@recomputed({"stage": "unlearn"})
def cost(at: Standing, stage: str | None = None) -> Iterator[Row]:
    rows = [row for row in cost_by_stage(at) if asked_for(row["stage"], stage)]
    whole_time = math.fsum(column(rows, "seconds"))
    for row in rows:
        label = at.labels.get(row["setting"])
        yield row | {"share": row["seconds"] / whole_time, "setting_label": label}


@recomputed()
def stage_totals(at: Standing) -> Iterator[Row]:
    for key, rows in gathered(at.costs, "stage", "device"):
        yield key | {
            "stages": len(rows),
            "seconds": math.fsum(column(rows, "seconds")),
            "device_seconds": total(column(rows, "device_seconds")),
            "peak_bytes": most(column(rows, "peak_bytes")),
        }


@recomputed()
def unlearning_cost(at: Standing) -> Iterator[Row]:
    rows = [row for row in at.models if (row["kind"], row["status"]) == ("unlearned", "finished")]
    for key, some in gathered(rows, *AT, "method", "scope", "setting", "device"):
        retrained = [_finished(at.models_by_id.get(row["retrained_id"])) for row in some]
        ratios = [over(paid(row), paid(other)) for row, other in zip(some, retrained, strict=True)]
        shares = [over(row["trainable_parameters"], row["num_parameters"]) for row in some]
        yield key | {
            "setting_label": at.labels.get(key["setting"]),
            "seeds": len(some),
            "device_seconds": mean(map(paid, some)),
            "retrained_device_seconds": mean(map(paid, retrained)),
            "ratio": mean(ratios),
            "ratio_least": min(ratios, key=lambda ratio: math.inf if ratio is None else ratio),
            "ratio_most": most(ratios),
            "samples": mean(column(some, "samples")),
            "peak_bytes": most(column(some, "peak_bytes")),
            "trainable_parameters": most(column(some, "trainable_parameters")),
            "trainable_share": most(shares),
        }


def _finished(row: Row | None) -> Row | None:
    return row if row and row["status"] == "finished" else None


@recomputed(
    {"metric": "auc", "split": "retain", "attack": "population"},
    {"metric": "robust_accuracy", "attack": "pgd"},
    {"metric": "js_to_retrained"},
)
def layer_scope_cost(
    at: Standing, metric: str = "accuracy", split: str = "forget", attack: str = "none"
) -> Iterator[Row]:
    rows = [
        row
        for row in whole(at)
        if (row["metric"], row["split"], row["attack"], row["role"]) == (metric, split, attack, "audited")
        and row["difference"] is not None
        and row["model_id"] in at.models_by_id
    ]
    for key, some in gathered(rows, *AT, "variant", "param", "game", "method", "scope", "setting"):
        models = [at.models_by_id[row["model_id"]] for row in some]
        retrained = [at.models_by_id[row["retrained_id"]]["device_seconds"] for row in models]
        pairs = [(row["difference_low"], row["difference_high"]) for row in some]
        low, high = of_seeds(
            [abs(row["difference"]) for row in some],
            [None if low is None else max(low, -high, 0.0) for low, high in pairs],
            [None if low is None else max(-low, high) for low, high in pairs],
        )
        yield key | {
            "setting_label": at.labels.get(key["setting"]),
            "seeds": len(some),
            "trainable_parameters": mean(column(models, "trainable_parameters")),
            "trainable_share": mean(row["trainable_parameters"] / row["num_parameters"] for row in models),
            "device_seconds": mean(column(models, "device_seconds")),
            "retrained_device_seconds": mean(retrained),
            "speedup": mean(
                over(other, row["device_seconds"]) for row, other in zip(models, retrained, strict=True)
            ),
            "samples": mean(column(models, "samples")),
            "peak_bytes": most(column(models, "peak_bytes")),
            "gap": mean(abs(row["difference"]) for row in some),
            "gap_low": not_below_zero(low),
            "gap_high": high,
            "noise_floor": mean(column(some, "noise_floor")),
        }
