"""Queries over shadow models: their masks, their canaries, and what unlearning does to them epoch by epoch."""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.queries.recomputed.arithmetic import (
    Row,
    column,
    gathered,
    mean,
    rank_correlation,
    student,
    total,
)
from tests.queries.recomputed.register import asked_for, recomputed
from tests.queries.recomputed.standing import Standing

PLACE = ("dataset", "architecture", "method", "scope", "forget_set", "setting")


def inside(mask: bytes) -> set[int]:
    """Examples whose bit is set, the least significant bit of the first byte first."""
    return {8 * place + bit for place, byte in enumerate(mask) for bit in range(8) if byte >> bit & 1}


def shadows(at: Standing) -> list[Row]:
    """Of the sets behind the cells."""
    return [row for row in at.table("shadows") if row["shadow_set"] in at.shadow_sets]


@recomputed()
def shadow_health(at: Standing) -> Iterator[Row]:
    work = [row for row in at.models if row["kind"] == "shadow"]
    for key, rows in gathered(shadows(at), "dataset", "architecture", "shadow_set"):
        mine = [row for row in work if row["shadow_set"] == key["shadow_set"]]
        notes = [json.loads(row["notes_json"]) for row in mine]
        masks = [inside(row["in_mask"]) for row in rows]
        times = [sum(example in mask for mask in masks) for example in set().union(*masks)]
        failing = {row["method"] for row in mine if row["status"] == "failed"}
        yield key | {
            "shadows": len(rows),
            "pairs": len(set(column(rows, "pair_id"))),
            "unique_masks": len(set(column(rows, "in_digest"))),
            "members_low": min(map(len, masks)),
            "members_high": max(map(len, masks)),
            "unbalanced_examples": sum(2 * many != len(rows) for many in times),
            **_range(rows, "train_accuracy"),
            **_range(rows, "test_accuracy"),
            "seconds_per_training": mean(column(rows, "seconds")),
            "all_seconds": total(column(mine, "seconds")),
            "draws": sum(column(notes, "draws")),
            "failed_draws": sum(column(notes, "failed_draws")),
            "failing_methods": ", ".join(sorted(failing)),
        }


def _range(rows: list[Row], name: str) -> Row:
    values = column(rows, name)
    return {name: mean(values), f"{name}_low": min(values), f"{name}_high": max(values)}


@recomputed({"canary_kind": "mislabelled"})
def canaries(at: Standing, canary_kind: str | None = None) -> Iterator[Row]:
    planted = [row for row in at.table("canaries") if asked_for(row["canary_kind"], canary_kind)]
    for key, rows in gathered(planted, "canaries_id", "dataset", "canary_kind", "images"):
        places = set(column(rows, "example_id"))
        mine = [row for row in shadows(at) if row["canaries_id"] == key["canaries_id"]]
        for of_set, some in gathered(mine, "architecture", "shadow_set"):
            learnt = [len(inside(row["in_mask"]) & places) for row in some]
            yield (
                key
                | of_set
                | {
                    "canaries": len(rows),
                    "true_label": sum(row["label"] == row["original_label"] for row in rows),
                    "shadows": len(some),
                    "learnt_low": min(learnt),
                    "learnt_mean": mean(learnt),
                    "learnt_high": max(learnt),
                }
            )


def observed(at: Standing) -> list[Row]:
    """Rows of `observations` with an epoch, of the work behind the cells."""
    stages = at.shadow_stages
    return [
        row
        | {key: stages[row["stage_id"]][key] for key in ("dataset", "setting")}
        | {"forget_set": row["pool"]}
        for row in at.table("observations")
        if row["epoch"] is not None and row["stage_id"] in stages
    ]


@recomputed({"forget_set": "class"})
def forgetting_order(at: Standing, forget_set: str | None = None) -> Iterator[Row]:
    rows = [row for row in observed(at) if asked_for(row["forget_set"], forget_set)]
    for key, some in gathered(rows, *PLACE, "state", "epoch"):
        by_shadow = [mean(column(mine, "phi")) for _, mine in gathered(some, "shadow_id")]
        low, high = student(by_shadow)
        yield key | {
            "setting_label": at.labels.get(key["setting"]),
            "shadows": len(by_shadow),
            "phi": mean(by_shadow),
            "phi_low": low,
            "phi_high": high,
        }


@recomputed({"architecture": "resnet18", "method": "finetune"})
def stopping(at: Standing, architecture: str | None = None, method: str | None = None) -> Iterator[Row]:
    rows = [
        row
        for row in observed(at)
        if row["state"] in ("unlearned", "never")
        and asked_for(row["architecture"], architecture)
        and asked_for(row["method"], method)
    ]
    for place, some in gathered(rows, *PLACE):
        whole, halves = _separations(some), [_separations(_half(some, half)) for half in (0, 1)]
        more = _held_out(halves) | {"setting_label": at.labels.get(place["setting"])}
        closest = [_closest(epochs) for epochs in whole.values()]
        low, middle, high = (
            int(np.quantile(closest, point, method="inverted_cdf")) for point in (0.05, 0.5, 0.95)
        )
        more |= {"closest_low": low, "closest_median": middle, "closest_high": high}
        by_epoch = {
            epoch: _at_epoch(whole, epoch) for epoch in sorted({e for of in whole.values() for e in of})
        }
        best = _best(whole)
        for epoch, row in by_epoch.items():
            here = closest.count(epoch) / row["examples"]
            yield place | row | more | {"epoch": epoch, "closest_here": here, "best_single": epoch == best}


Separations = dict[int, dict[int, tuple[float, float]]]
"""By example and epoch: the standardised difference, and its standard error."""


def _half(rows: list[Row], half: int) -> list[Row]:
    return [row for row in rows if row["shadow"] // 2 % 2 == half]


def _separations(rows: list[Row]) -> Separations:
    found: Separations = defaultdict(dict)
    for key, some in gathered(rows, "example_id", "epoch"):
        sides = []
        for state in ("unlearned", "never"):
            of_state = gathered((row for row in some if row["state"] == state), "shadow")
            sides.append([mean(column(mine, "phi")) for _, mine in of_state])
        if min(map(len, sides)) > 1:
            scale = math.sqrt(sum(map(statistics.variance, sides)) / 2)
            squared = sum(statistics.variance(side) / len(side) for side in sides)
            apart = statistics.fmean(sides[0]) - statistics.fmean(sides[1])
            found[key["example_id"]][key["epoch"]] = apart / scale, math.sqrt(squared) / scale
    return found


def _closest(epochs: dict[int, tuple[float, float]]) -> int:
    return min(epochs, key=lambda epoch: abs(epochs[epoch][0]))


def _best(found: Separations) -> int:
    """The epoch of the least mean distance."""
    distances: dict[int, list[float]] = defaultdict(list)
    for epochs in found.values():
        for epoch, (apart, _) in epochs.items():
            distances[epoch].append(abs(apart))
    return min(distances, key=lambda epoch: statistics.fmean(distances[epoch]))


def _at_epoch(found: Separations, epoch: int) -> Row:
    here = [epochs[epoch] for epochs in found.values() if epoch in epochs]
    above, below = (mean(sign * apart > 2 * error for apart, error in here) for sign in (1, -1))
    return {
        "examples": len(here),
        "mean_distance": mean(abs(apart) for apart, _ in here),
        "chance": mean(error * math.sqrt(2 / math.pi) for _, error in here),
        "remembered": above,
        "overforgotten": below,
    }


def _held_out(halves: list[Separations]) -> Row:
    """Epochs chosen on one half of the pairs of shadow models and judged on the other."""
    best = [_best(half) for half in halves]
    both = sorted(halves[0].keys() & halves[1].keys())
    own = [[_closest(half[example]) for example in both] for half in halves]
    single, chosen = [], []
    for number, example in enumerate(both):
        judged = [halves[1 - half][example] for half in (0, 1)]
        single.append(mean(abs(judged[half][best[half]][0]) for half in (0, 1)))
        chosen.append(mean(abs(judged[half][own[half][number]][0]) for half in (0, 1)))
    gains: list[Any] = [one - other for one, other in zip(single, chosen, strict=True)]
    return {
        "held_out_single": mean(single),
        "held_out_own": mean(chosen),
        "held_out_gain": mean(gains),
        "agreement": rank_correlation(*own),
    }
