"""A small sweep's worth of rows, drawn from known distributions, written through the store."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.store.store import Store
from tasks.statistics.intervals import wilson
from tests.support.fabricated import fabricated_setting
from tests.support.made_once import made_once

ROLES = {
    "finetune": "audited",
    "scrub": "audited",
    "salun": "audited",
    "retrain": "reference",
    "retrain_again": "noise_floor",
    "no_op": "ceiling",
}
FORGET_SETS = ("random:fraction=0.1", "class:label=3")
FORGET_IDS = np.arange(40)
SEEDS = (0, 1, 2)
EPS = (0.0, 2 / 255, 8 / 255)
LAYERS = ("stem", "layer1", "layer2")
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def name(*parts: Any) -> str:
    """A content id."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Place:
    """A model of the synthetic sweep."""

    forget_set: str
    method: str
    seed: int

    @property
    def model_id(self) -> str:
        return name("model", self.forget_set, self.method, self.seed)

    @property
    def reference_id(self) -> str:
        return name("model", self.forget_set, "retrain", self.seed)

    def cell_id(self, attack: str) -> str:
        return name("cell", self.model_id, attack)


def places() -> Iterator[Place]:
    """Every model, in a fixed order."""
    for forget_set, method, seed in itertools.product(FORGET_SETS, ROLES, SEEDS):
        yield Place(forget_set, method, seed)


def proportion(metric: str, split: str, hits: int, n: int, direction: str, **more: Any) -> dict[str, Any]:
    """A metric row with Wilson's interval."""
    low, high = wilson(hits, n)
    row = {"metric": metric, "split": split, "variant": "", "value": hits / n, "n": n}
    return row | {"ci_low": float(low), "ci_high": float(high), "higher_is": direction} | more


def fill(root: str) -> Store:
    """Make a results directory of 36 models under three attacks, one failed cell and one failed model."""
    shutil.copytree(made_once("synthetic", _make), root, dirs_exist_ok=True)
    return Store(root)


def _make(root: Path) -> None:
    store = Store(str(root))
    store.check_ready()
    generator = np.random.Generator(np.random.PCG64(20250301))
    for place in places():
        _write_model(store, place, generator)
        _write_plain(store, place, generator)
        _write_robust(store, place, generator)
        _write_membership(store, place, generator)
    _write_failures(store)


def _cell_row(place: Place, attack: str, family: str) -> dict[str, Any]:
    row = {
        "cell_id": place.cell_id(attack),
        "model_id": place.model_id,
        "reference_id": place.reference_id,
        "run_id": "run-1",
        "dataset": "digits",
        "architecture": "mlp",
        "method": place.method,
        "scope": "all",
        "attack": attack,
        "attack_family": family,
        "attack_params_json": "{}",
        "forget_set": place.forget_set,
        "forget_size": len(FORGET_IDS),
        "seed": place.seed,
        "role": ROLES[place.method],
        "status": "finished",
        "seconds": 1.5,
        "finished_at": NOON + timedelta(minutes=place.seed),
    }
    return row | fabricated_setting(row)


def _write_model(store: Store, place: Place, generator: np.random.Generator) -> None:
    retrained = place.method.startswith("retrain")
    seconds = float(generator.uniform(50, 60) if retrained else generator.uniform(2, 9))
    row = {
        "kind": "retrained" if retrained else "unlearned",
        "dataset": "digits",
        "architecture": "mlp",
        "forget_set": place.forget_set,
        "method": place.method,
        "scope": "all",
        "seed": place.seed,
        "retrained_id": place.reference_id,
        "status": "finished",
        "num_parameters": 1000,
        "device": "cpu",
        "trainable_parameters": 250 if place.method == "scrub" else 1000,
        "samples": 5000,
        "device_seconds": seconds,
        "seconds": seconds,
        "peak_bytes": 1 << 20,
    }
    store.write("models", place.model_id, [row])
    stage = "retrain" if retrained else "unlearn"
    cost = {"stage": stage, "device": "cpu", "seconds": seconds, "model_id": place.model_id, "samples": 5000}
    store.write("costs", place.model_id, [cost])


def _write_plain(store: Store, place: Place, generator: np.random.Generator) -> None:
    rate = {"no_op": 0.98, "retrain": 0.9, "retrain_again": 0.9}.get(place.method, 0.93)
    rows = [
        proportion("accuracy", "forget", int(generator.binomial(400, rate)), 400, "closer_to_retrained"),
        proportion("accuracy", "test", int(generator.binomial(1000, 0.9)), 1000, "better"),
    ]
    for label in range(3):
        hits = int(generator.binomial(100, 0.9))
        rows.append(proportion("accuracy", "test", hits, 100, "better", label=label))
    key = place.cell_id("none")
    store.write("metrics", key, rows)
    examples = [
        {"example_id": int(i), "split": "forget", "label": 3, "phi": float(p), "correct": bool(p > 0)}
        for i, p in zip(FORGET_IDS, generator.normal(rate * 3, 1, len(FORGET_IDS)), strict=True)
    ]
    store.write("examples", key, examples, attack="none")
    layers = []
    for index, layer in enumerate(LAYERS):
        gap = float(np.round(generator.uniform(0, 0.3), 1))  # rounded, so that ranks have ties
        row = {"layer": layer, "layer_index": index, "kind": "conv", "definition": "group_hinge", "gap": gap}
        layers += [row, row | {"label": 0, "sigma": 0.5, "gap": 9.0}]
    store.write("layers", key, layers)
    store.write("cells", key, [_cell_row(place, "none", "none")])


def _write_robust(store: Store, place: Place, generator: np.random.Generator) -> None:
    rows = []
    for eps, rate in zip(EPS, (0.92, 0.7, 0.3), strict=True):
        hits = int(generator.binomial(200, rate))
        rows.append(proportion("robust_accuracy", "test", hits, 200, "better", param=eps))
    key = place.cell_id("pgd")
    store.write("metrics", key, rows)
    store.write("cells", key, [_cell_row(place, "pgd", "adversarial")])


def _write_membership(store: Store, place: Place, generator: np.random.Generator) -> None:
    examples = []
    for statistic in ("loss", "confidence"):
        for member, split in ((True, "forget"), (False, "test")):
            scores = np.round(generator.normal(0.5 * member, 1, len(FORGET_IDS)), 1)
            ids = FORGET_IDS + (0 if member else 1000)
            for i, score in zip(ids, scores, strict=True):
                row = {"example_id": int(i), "split": split, "statistic": statistic, "member": member}
                examples.append(row | {"score": float(score)})
    key = place.cell_id("population")
    store.write("examples", key, examples, attack="population")
    auc = {"metric": "auc", "split": "forget", "variant": "loss", "value": 0.6, "n": 80, "game": "G1"}
    store.write("metrics", key, [auc | {"higher_is": "closer_to_retrained"}])
    store.write("cells", key, [_cell_row(place, "population", "population")])


def _write_failures(store: Store) -> None:
    failure = {"status": "failed", "error_type": "Diverged", "error": "loss is nan at step 12"}
    place = Place(FORGET_SETS[0], "scrub", 7)
    store.write("cells", place.cell_id("none"), [_cell_row(place, "none", "none") | failure])
    store.write("models", place.model_id, [failure | {"kind": "unlearned", "method": "scrub", "seed": 7}])
