"""Forget sets as rows of the results, with the copies of their examples that stay in the retain set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from orchestrator.errors import one_line
from orchestrator.plan.data import DataPlan
from orchestrator.store.store import Store
from tasks.datasets.checks import checked_inputs
from tasks.datasets.contents import hash_images
from tasks.errors import AuditError
from tasks.forget_sets.retained_copies import (
    MOST_PRODUCTS,
    MOST_VALUES,
    NEAR,
    RetainedCopies,
    find_copies,
    too_large,
)
from tasks.forget_sets.retained_documents import find_document_copies
from tasks.text.documents import Documents

QUICK_VALUES, QUICK_PRODUCTS = 200_000_000, 20_000_000_000
"""Bounds of a plan, which is to answer at once: CIFAR with 500 forgotten examples takes about two seconds."""
NAMED = 3
"""Examples that a warning names."""


def unrecorded(data: DataPlan, store: Store) -> list[str]:
    """Forget sets that these results do not hold yet, or whose images could not be read when they were looked at."""
    table = store.read("forget_sets").select(["record_id", "retained_distance"])
    ids, distances = (table[name].to_pylist() for name in table.column_names)
    searched = {i for i, distance in zip(ids, distances, strict=True) if distance is not None}
    skipped = set(ids) - searched
    return [
        name
        for name in data.forget_sets
        if (known := _record_id(data, name)) not in searched
        and not (
            known in skipped and _too_large(data, name, most_values=MOST_VALUES, most_products=MOST_PRODUCTS)
        )
    ]


def write_forget_sets(data: DataPlan, store: Store, names: Iterable[str], *, dataset: str) -> list[str]:
    """Record forget sets with their copies among the retained.

    Args:
        data: what is audited.
        store: where it is written.
        names: of `unrecorded`; decoding the images of a folder may take long.
        dataset: its name in the results.

    Returns:
        A warning for each forget set of which copies stay.
    """
    found = search(data, names)
    for name, copies in found.items():
        store.write("forget_sets", _record_id(data, name), _rows(data, name, copies, dataset=dataset))
    return warnings(data, found)


def search(data: DataPlan, names: Iterable[str]) -> dict[str, RetainedCopies | str]:
    """By forget set, the copies that stay, or why they were not looked for."""
    found: dict[str, RetainedCopies | str] = {}
    bounds = {
        name: _too_large(data, name, most_values=MOST_VALUES, most_products=MOST_PRODUCTS) for name in names
    }
    found.update({name: reason for name, reason in bounds.items() if reason is not None})
    affordable = [name for name, reason in bounds.items() if reason is None]
    if affordable:
        try:
            inputs = checked_inputs(data.source, data.labels)
        except AuditError:  # a file that no cell can read either: bad input, and no cell's failure
            raise
        except Exception as error:  # of a plug-in: the cells that need the images fail as rows
            return found | dict.fromkeys(affordable, f"the images cannot be read: {one_line(error)}")
        found |= _found(data, inputs, affordable)
    return found


def _found(
    data: DataPlan, inputs: np.ndarray | Documents, names: Iterable[str]
) -> dict[str, RetainedCopies | str]:
    """The copies among images, or among documents."""
    places = {
        name: {"forget": data.forget_sets[name].ids, "retained": _retained(data, name)} for name in names
    }
    if isinstance(inputs, Documents):
        return {name: find_document_copies(inputs, **place) for name, place in places.items()}
    hashes = hash_images(inputs)
    return {name: find_copies(inputs, hashes, **place) for name, place in places.items()}


def _too_large(data: DataPlan, name: str, *, most_values: int, most_products: int) -> str | None:
    """Why copies of a forget set are not looked for within these bounds; None where they are."""
    if not data.source.holds_inputs:
        return "of the examples nothing is known but what models answered"
    return too_large(
        data.labels.image_shape or (data.labels.longest,),
        num_examples=len(data.labels.labels),
        forget=len(data.forget_sets[name].ids),
        retained=len(_retained(data, name)),
        most_values=most_values,
        most_products=most_products,
    )


def plan_lines(data: DataPlan) -> list[str]:
    """What a plan says of copies: a line for each forget set that has some, and one for those it does not search."""
    late = [
        name
        for name in data.forget_sets
        if data.source.decodes
        or _too_large(data, name, most_values=QUICK_VALUES, most_products=QUICK_PRODUCTS)
    ]
    lines = warnings(data, search(data, [name for name in data.forget_sets if name not in late]))
    if late:
        lines.append(
            f"{', '.join(late)}: the sweep looks for copies that stay in the retain set, which takes time"
        )
    return lines


def warnings(data: DataPlan, found: Mapping[str, RetainedCopies | str]) -> list[str]:
    """One line for each forget set of which exact or near copies stay."""
    lines = []
    for name, copies in found.items():
        if isinstance(copies, str) or not (copies.exact.any() or copies.near.any()):
            continue
        ids = data.forget_sets[name].ids
        exact, near = int((copies.exact > 0).sum()), int(copies.near.sum())
        which = ids[(copies.exact > 0) | copies.near]
        named = ", ".join(map(str, which[:NAMED].tolist())) + (", ..." if len(which) > NAMED else "")
        lines.append(
            f"{name}: of {len(ids)} forget examples {exact} have an exact and {near} a near copy that stays in the "
            f"retain set ({named}); whether these are forgotten cannot be decided (query retained_copies)"
        )
    return lines


def _retained(data: DataPlan, name: str) -> np.ndarray:
    return np.setdiff1d(data.splits.train, data.forget_sets[name].ids)


def _record_id(data: DataPlan, name: str) -> str:
    """Digest of the forget set, its name, and what a search for copies depends on: the data and what stays."""
    forget = data.forget_sets[name]
    sha = hashlib.sha256(f"{data.digest}\n{name}\n{forget.digest}\n{NEAR}\n".encode())
    sha.update(_retained(data, name).astype("<i8").tobytes())
    return sha.hexdigest()


def _rows(data: DataPlan, name: str, copies: RetainedCopies | str, *, dataset: str) -> list[dict[str, Any]]:
    forget = data.forget_sets[name]
    search = (
        {"not_searched": copies} if isinstance(copies, str) else {"near": copies.bound, **_compared(copies)}
    )
    provenance = json.dumps({**forget.provenance, "retained_copies": search}, sort_keys=True, default=str)
    rows: list[dict[str, Any]] = [
        {
            "forget_set": name,
            "forget_digest": forget.digest,
            "dataset": dataset,
            "example_id": int(i),
            "label": int(data.labels.labels[i]),
            "provenance_json": provenance,
        }
        for i in forget.ids
    ]
    if not isinstance(copies, str):
        for place, row in enumerate(rows):
            row["retained_exact"] = int(copies.exact[place])
            row["retained_nearest"] = int(copies.nearest[place])
            row["retained_distance"] = float(copies.distance[place])
    return rows


def _compared(copies: RetainedCopies) -> dict[str, str]:
    """What is compared, where it is not the thumbnails of images."""
    return {} if copies.compared == RetainedCopies.compared else {"compared": copies.compared}
