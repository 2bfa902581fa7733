"""Queries over what was paid."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

from tests.queries.recomputed.arithmetic import (
    Row,
    column,
    gathered,
    least,
    mean,
    most,
    not_below_zero,
    of_seeds_or_own,
    over,
    total,
)
from tests.queries.recomputed.beside_retraining import whole
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import AT, Standing

MEASURED = (*AT, "variant", "param", "game")
"""Where one measure is taken."""
STAGE = ("stage", "device", "dataset", "architecture", "method", "scope", "attack", "setting")


@recomputed()
def model_costs(at: Standing) -> Iterator[Row]:
    yield from at.cost_of.values()


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
    means = ("own_device_seconds", "shared_device_seconds", "device_seconds", "retrained_device_seconds")
    more = ("ratio", "own_samples", "shared_samples", "samples", "forward_samples")
    for key, some in gathered(rows, *AT, "method", "scope", "setting", "device"):
        priced = [at.cost_of[row["model_id"]] for row in some]
        ratios = column(priced, "ratio")
        yield (
            key
            | {name: mean(column(priced, name)) for name in (*means, *more)}
            | {
                "setting_label": at.labels.get(key["setting"]),
                "seeds": len(some),
                "ratio_least": least(ratios),
                "ratio_most": most(ratios),
                "peak_bytes": most(column(priced, "peak_bytes")),
                "trainable_parameters": most(column(some, "trainable_parameters")),
                "trainable_share": most(
                    over(row["trainable_parameters"], row["num_parameters"]) for row in some
                ),
            }
        )


@recomputed(
    {"metric": "auc", "split": "retain", "attack": "population"},
    {"metric": "robust_accuracy", "attack": "pgd"},
    {"metric": "js_to_retrained"},
)
def layer_scope_cost(
    at: Standing, metric: str = "accuracy", split: str = "forget", attack: str = "none"
) -> Iterator[Row]:
    rows = [
        row | {"cost": at.cost_of[row["model_id"]], "gap": abs(row["difference"])}
        for row in whole(at)
        if (row["metric"], row["split"], row["attack"], row["role"]) == (metric, split, attack, "audited")
        and row["difference"] is not None
        and row["model_id"] in at.cost_of
    ]
    for key, some in gathered(rows, *MEASURED, "method", "scope", "setting"):
        costs = column(some, "cost")
        pairs = [(row["difference_low"], row["difference_high"]) for row in some]
        low, high = of_seeds_or_own(
            column(some, "gap"),
            [None if low is None else max(low, -high, 0.0) for low, high in pairs],
            [None if low is None else max(-low, high) for low, high in pairs],
        )
        beside_all = [(row, of_all) for row in some if (of_all := _of_scope_all(at, row, rows))]
        apart = [row["gap"] - of_all["gap"] for row, of_all in beside_all]
        apart_low, apart_high = of_seeds_or_own(
            apart, *zip(*(_apart(*pair) for pair in beside_all), strict=True)
        )
        yield key | {
            "setting_label": at.labels.get(key["setting"]),
            "seeds": len(some),
            "trainable_parameters": mean(column(costs, "trainable_parameters")),
            "trainable_share": mean(row["trainable_parameters"] / row["num_parameters"] for row in costs),
            **{
                name: None if len(set(column(costs, "device"))) > 1 else mean(column(costs, name))
                for name in ("device_seconds", "retrained_device_seconds")
            },
            "speedup": mean(over(row["retrained_device_seconds"], row["device_seconds"]) for row in costs),
            "samples": mean(column(costs, "samples")),
            "peak_bytes": most(column(costs, "peak_bytes")),
            "gap": mean(column(some, "gap")),
            "gap_low": not_below_zero(low),
            "gap_high": high,
            "noise_floor": mean(column(some, "noise_floor")),
            "paired_seeds": len(apart),
            "gap_difference": mean(apart),
            "gap_difference_low": apart_low,
            "gap_difference_high": apart_high,
            "cost_of_all": mean(
                over(row["cost"]["device_seconds"], of_all["cost"]["device_seconds"])
                for row, of_all in beside_all
                if row["cost"]["device"] == of_all["cost"]["device"]
            ),
        }


def _apart(row: Row, of_all: Row) -> tuple[float | None, float | None]:
    """Interval of the difference of the distances of two models: Newcombe's, from the distances' own."""
    if row is of_all:
        return 0.0, 0.0
    ends = [(one["difference_low"], one["difference_high"]) for one in (row, of_all)]
    if any(low is None for low, _ in ends):
        return None, None
    (near, far), (near_all, far_all) = ((max(low, -high, 0.0), max(-low, high)) for low, high in ends)
    gap, gap_all = row["gap"], of_all["gap"]
    return (
        gap - gap_all - math.hypot(gap - near, far_all - gap_all),
        gap - gap_all + math.hypot(far - gap, gap_all - near_all),
    )


def _of_scope_all(at: Standing, row: Row, rows: list[Row]) -> Row | None:
    """The same method, values and measure at scope `all`; of several searches the same setting or values."""
    same = ("method", "conditions", "seed", *MEASURED)

    def shared(one: Row) -> tuple[Any, ...]:
        trials = at.cells[one["cell_id"]]["tuning_trials"]
        return trials, at.unscoped(one["setting"], trials), *(one[key] for key in same)

    found = [other for other in rows if other["scope"] == "all" and shared(other) == shared(row)]

    def far(other: Row) -> tuple[bool, bool, str]:
        values = [at.models_by_id[model["model_id"]]["params_json"] for model in (row, other)]
        return other["setting"] != row["setting"], values[0] != values[1], other["setting"]

    return min(found, key=far, default=None)
