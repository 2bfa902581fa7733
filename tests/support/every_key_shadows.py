"""Shadow models behind the results of every key: two kinds of canaries, work on groups, and observations of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.store.store import Store
from tests.support.every_key_numbers import Numbers

SHADOWS = 16
TARGETS = 24
"""Examples that masks are over."""
OBSERVED = 5
"""Of them those that are observed."""
EPOCHS = 3
DRAWS = 2
POOLS = ("random", "class")
CANARIES = {
    "shadows-cifar10-resnet18": ("planted-1", "mislabelled"),
    "shadows-cifar10-wide": ("planted-2", "out_of_distribution"),
    "shadows-of-no-plan": ("planted-1", "mislabelled"),
}
"""By set of shadow models: the canaries in it, and of which kind they are."""
Rows = dict[str, list[dict[str, Any]]]


def write_shadow_models(
    store: Store, numbers: Numbers, cells: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Rows:
    """Write `shadows`, `canaries` and `observations`; returns rows of `models` by id, a file for each.

    Args:
        store: where to.
        numbers: what is drawn.
        cells: rows of `cells` by id: their sets and groups are given shadow models.
    """
    generator = np.random.Generator(np.random.PCG64(5))
    groups = {
        row["group_id"]: row
        for [row] in cells.values()
        if row.get("group_id") and row["method"] == "finetune"
    }
    sets = {row["shadow_set"]: row for row in groups.values()}
    stray = dict(next(iter(sets.values())), shadow_set="shadows-of-no-plan", group_id="group-of-no-plan")
    models: Rows = {}
    for shadow_set, row in [*sets.items(), (stray["shadow_set"], stray)]:
        planted = CANARIES.get(shadow_set)
        masks = generator.random((SHADOWS, TARGETS)) < 0.5
        for shadow in range(SHADOWS):
            name = f"{shadow_set}-{shadow}"
            mask = ~masks[shadow - 1] if shadow % 2 and shadow < SHADOWS - 2 else masks[shadow]
            masks[shadow] = mask
            made = {
                "shadow_set": shadow_set,
                "pair_id": f"{shadow_set}-{shadow // 2}",
                "fold": shadow // 2 % 2,
                "architecture": row["architecture"],
                "dataset": row["dataset"],
                "in_mask": np.packbits(mask, bitorder="little").tobytes(),
                "in_digest": f"mask-{min(shadow, SHADOWS - 2)}",
                "canaries_id": planted and planted[0],
                "train_accuracy": numbers.value(),
                "test_accuracy": numbers.value(),
                "seconds": numbers.value(),
            }
            store.write("shadows", name, [made])
            models[f"trained-{name}"] = [
                _work(numbers, row, shadow) | {"method": "none", "shadow_set": shadow_set}
            ]
    for canaries_id, kind in set(CANARIES.values()):
        store.write("canaries", canaries_id, _planted(canaries_id, kind))
    for group, row in [*groups.items(), (stray["group_id"], stray)]:
        for shadow in range(SHADOWS):
            stage_id = f"work-{group}-{shadow}"
            models[stage_id] = [_work(numbers, row, shadow) | {"method": row["method"], "parent_id": group}]
            if row["forget_set"] == "class":
                continue
            path = {key: row[key] for key in ("architecture", "method", "scope")}
            store.write(
                "observations", stage_id, _observed(numbers, f"{row['shadow_set']}-{shadow}", shadow), **path
            )
    return models


def _work(numbers: Numbers, row: Mapping[str, Any], shadow: int) -> dict[str, Any]:
    failed = {"status": "failed", "error_type": "Diverged", "error": "loss is inf"}
    notes = {"draws": numbers.count(), "failed_draws": numbers.count()}
    axes = ("dataset", "architecture", "forget_set", "scope", "shadow_set", "setting")
    return {
        **{key: row[key] for key in axes},
        **{key: value for key, value in numbers.cost("", numbers.device()).items() if key != "stage"},
        "kind": "shadow",
        "shadow": shadow,
        "notes_json": json.dumps(notes),
        "rests_on_json": "[]",
        "status": "finished",
        **(failed if shadow == 3 else {}),
    }


def _planted(canaries_id: str, kind: str) -> list[dict[str, Any]]:
    """Canaries, one of which has the label of the example in whose place it stands."""
    images = "colour_fields" if kind == "out_of_distribution" else None
    places = range(3, TARGETS, 4) if images else range(1, TARGETS, 3)
    return [
        {
            "dataset": "cifar10",
            "canary_kind": kind,
            "example_id": place,
            "label": number % 3,
            "original_label": number % 3 if number == 0 else 5,
            "images": images,
        }
        for number, place in enumerate(places)
    ]


def _observed(numbers: Numbers, shadow_id: str, shadow: int) -> list[dict[str, Any]]:
    """Of each target in each draw, pool and epoch: phi, which falls by epochs where the target is unlearned."""
    rows = []
    for pool_number, pool in enumerate(POOLS):
        for draw in range(DRAWS):
            for example in range(OBSERVED + 1):
                retained = example == OBSERVED
                unlearned = (shadow + example + shadow // 2) % 2 == 0
                state = "retained" if retained else "unlearned" if unlearned else "never"
                for epoch in (None, *range(EPOCHS)):
                    height = (example % 3 + 1.0 - (epoch or 0)) * (state == "unlearned")
                    phi = height * (1 + pool_number) + numbers.value()
                    axes = {
                        "shadow_id": shadow_id,
                        "shadow": shadow,
                        "pool": pool,
                        "draw": draw,
                        "state": state,
                    }
                    rows.append(axes | {"epoch": epoch, "example_id": example, "phi": phi})
    return rows
