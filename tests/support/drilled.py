"""Made results that a page can go into: models of three seeds with answers by class, and epochs of shadow models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.store.store import Store
from tests.support import synthetic_shadows
from tests.support.audited import plan_cell, write_accuracy, write_cell, write_run
from tests.support.made_once import made_once

PLACE = {"dataset": "digits", "architecture": "net", "forget_set": "random"}
VALUES = {
    "retrain": 0.5,
    "retrain_again": 0.503,
    "no_op": 1.0,
    "finetune": 0.9,
    "scrub": 0.502,
    "wild": 0.5,
}
SEEDS = 3
CLASSES = 4
RUN = "tiny-1"


def drilled_root() -> str:
    """The results; made once, not to be written to."""
    return str(made_once("drilled", lambda folder: fill(Store(str(folder)))))


def fill(store: Store) -> None:
    """Write all of it."""
    write_run(store)
    synthetic_shadows.fill(store)
    for method in synthetic_shadows.ROLES:
        for attack in synthetic_shadows.ATTACKS:
            plan_cell(store, RUN, f"{method}-{attack}")
    _write_retrained(store)
    for place, (method, value) in enumerate(VALUES.items()):
        for seed in range(SEEDS):
            cell_id = write_cell(store, method, seed=seed, **PLACE)
            wobble = (0.2 if method == "wild" else 0.002) * (-1) ** (seed + place)
            write_accuracy(store, cell_id, value + wobble, 0.04)
            store.write("examples", cell_id, list(examples(method, seed)), attack="none")


def examples(method: str, seed: int) -> Iterator[dict[str, Any]]:
    """What a model answers: retrained models are right but for every tenth example, others take class 0 for 1."""
    generator = np.random.default_rng([seed, len(method)])
    for split, ids in (("forget", synthetic_shadows.TARGETS), ("test", np.arange(60, 90))):
        for i in ids.tolist():
            label = i % CLASSES
            confused = method in ("finetune", "wild") and label == 0 and (i + seed) % 3 > 0
            missed = method.startswith("retrain") and (i + seed) % 10 == 0
            predicted = 1 if confused else (label + 1) % CLASSES if missed else label
            phi = 2.0 * (method == "no_op") + 4.0 * confused + generator.normal()
            axes = {"example_id": i, "split": split, "label": label, "predicted": predicted}
            yield axes | {"phi": phi, "correct": predicted == label}


def _write_retrained(store: Store) -> None:
    """Observations, at their end, of shadow models that were retrained without what they had to forget."""
    rows = synthetic_shadows.trajectory(np.random.default_rng(3))
    last = rows["epoch"] == 0
    phi = np.random.default_rng(4).normal(size=len(last)).astype(np.float32)
    work = {
        "kind": "shadow",
        "dataset": "digits",
        "dataset_digest": "d",
        "architecture": "net",
        "forget_set": "random",
        "method": "retrained",
        "scope": "all",
        "setting": "setting-retrained",
        "parent_id": "retrain-group",
        "shadow_set": "layout",
        "status": "finished",
        "notes_json": '{"draws": 2, "failed_draws": 0}',
    }
    store.write("models", "retrained", [work])
    held = {name: pa.array(rows[name][last]) for name in ("shadow", "draw", "state", "example_id")}
    names = np.array([f"shadow{shadow}" for shadow in rows["shadow"][last]])
    table = pa.table({"shadow_id": names, "pool": np.full(len(names), "random"), "phi": phi[last], **held})
    path = {"architecture": "net", "method": "retrained", "scope": "all"}
    store.write("observations", "retrained", table, **path)
