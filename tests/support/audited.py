"""Results for the tests of what a person sees: a real tiny sweep, and hand-made rows with known answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.config.answers import Measure
from orchestrator.plan.answers import Declared
from orchestrator.store.runs import named_run
from orchestrator.store.store import Store
from tests.support.fabricated import fabricated_setting, write_plan
from tests.support.made_once import made_once
from tests.support.sweeps import changed, sweep, write_config

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNMEASURED = "unmeasured-"
"""Begins the ids of planned cells that have no row."""
ROLES = {
    "retrain": "reference",
    "retrain_again": "noise_floor",
    "retrain_third": "control",
    "no_op": "ceiling",
}


def audited_root() -> str:
    """A finished sweep of synthetic data with two methods and two scopes; made once, not to be written to.

    Its population attack draws once: half of the sweep's time would go into fits that no test looks at.
    """
    return str(made_once("audited", _audit) / "results")


def _audit(folder: Path) -> None:
    tables = "[attacks.population]\ndraws = 1\n[evaluation]\nfprs = [0.1]\n"
    config = write_config(folder, changed({"[evaluation]\n": tables}))
    sweep(config, "--out", folder / "results").check_returncode()


def copied(folder: Path) -> str:
    """The finished sweep, to be changed."""
    return str(shutil.copytree(audited_root(), folder / "results"))


def write_run(
    store: Store,
    run_id: str = "tiny-1",
    *,
    cells: int = 4,
    at: datetime = NOON,
    primary: Sequence[str] = ("accuracy:forget",),
    margin: float = 0.05,
    cells_before: int = 0,
) -> None:
    """A row of `runs` that declares primary measures with a margin, and a plan of that many cells, which `write_cell`
    fills."""
    store.check_ready()
    measures = tuple(map(Measure.parse, primary))
    said = Declared(primary=measures, margins={measure.metric: margin for measure in measures}).rows()
    planned = [f"{UNMEASURED}{place}" for place in range(cells)]
    declared = {
        "plan_json": json.dumps({"cells": cells, "cells_before": cells_before}),
        "answers_json": json.dumps(said),
    }
    write_plan(store, run_id, planned, name="tiny", started_at=at, **declared)


def plan_cell(store: Store, run_id: str, cell_id: str) -> None:
    """A cell in the plan of a run, in the place of one that is not measured yet."""
    planned = store.read("plans", run_id)["cell_id"].to_pylist()
    if cell_id not in planned:
        rest = sorted(planned, key=lambda known: not known.startswith(UNMEASURED))
        kept = rest[1:] if rest and rest[0].startswith(UNMEASURED) else rest
        store.write("plans", run_id, [{"cell_id": known} for known in (*kept, cell_id)])


def write_cell(
    store: Store, method: str, *, seed: int = 0, attack: str = "none", minutes: float = 0, **changes: Any
) -> str:
    """A row of `cells` of the method's model, which the latest run has asked for; returns its id."""
    cell_id = str(changes.get("cell_id", f"{method}-{attack}-{seed}"))
    row = {
        "model_id": f"{method}-{seed}",
        "reference_id": f"retrain-{seed}",
        "run_id": "tiny-1",
        "dataset": "digits",
        "architecture": "net",
        "method": method,
        "scope": "all",
        "attack": attack,
        "attack_family": attack,
        "forget_set": "mine",
        "forget_digest": "f0",
        "forget_size": 100,
        "seed": seed,
        "role": ROLES.get(method, "audited"),
        "status": "finished",
        "finished_at": NOON + timedelta(minutes=minutes),
    }
    row |= fabricated_setting(row | changes) | changes
    store.write("cells", cell_id, [row])
    if latest := named_run(store, None):
        plan_cell(store, latest.run_id, cell_id)
    return cell_id


def write_accuracy(
    store: Store,
    cell_id: str,
    value: float,
    half: float | None,
    split: str = "forget",
    beside: Sequence[Mapping[str, Any]] = (),
) -> None:
    """A row of `metrics` with an interval of +- `half`, or without one, beside others of the cell."""
    ends = {} if half is None else {"ci_low": value - half, "ci_high": value + half}
    row = {"metric": "accuracy", "split": split, "variant": "", "value": value, "n": 10_000} | ends
    store.write("metrics", cell_id, [*_without_key(beside), row | {"higher_is": "closer_to_retrained"}])


def _without_key(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "cell_id"} for row in rows]


def write_models(
    store: Store,
    values: Mapping[str, float],
    *,
    split: str = "forget",
    seeds: int = 3,
    wobble: float = 0.002,
    **changes: Any,
) -> None:
    """The accuracy of models on a split over seeds, each a little to one side or the other."""
    for position, (method, value) in enumerate(values.items()):
        for seed in range(seeds):
            cell_id = write_cell(store, method, seed=seed, **changes)
            before = store.read("metrics", cell_id).to_pylist() if store.has("metrics", cell_id) else []
            write_accuracy(store, cell_id, value + wobble * (-1) ** (seed + position), 0.04, split, before)


def write_membership(
    store: Store, method: str, shift: float, *, attack: str = "u_lira", split: str = "forget"
) -> None:
    """A per-example membership cell whose examples score `shift` higher than unseen ones."""
    cell_id = write_cell(store, method, attack=attack, attack_family="per_example")
    generator = np.random.default_rng(len(method))
    member = np.arange(200) < 100
    score = generator.normal(size=200) + shift * member
    store.write(
        "examples",
        cell_id,
        [
            {
                "example_id": i,
                "split": split if member[i] else "test",
                "label": i % 3,
                "score": score[i],
                "statistic": "likelihood_ratio",
                "member": bool(member[i]),
            }
            for i in range(200)
        ]
        + [
            {
                "example_id": i,
                "split": split,
                "label": i % 3,
                "score": value,
                "statistic": f"likelihood_ratio:{name}",
            }
            for i in range(100)
            for above in [float((score[i] > score[100:]).mean())]
            for name, value in (("auc", above), ("p_value", 1 - above), ("q_value", 1 - above))
        ],
        attack=attack,
    )
    auc = float((score[:100, None] > score[None, 100:]).mean())
    row = {
        "metric": "auc",
        "split": "forget",
        "variant": "likelihood_ratio:pooled",
        "game": "G2",
        "value": auc,
    }
    ends = {"ci_low": auc - 0.05, "ci_high": auc + 0.05, "n": 200, "higher_is": "closer_to_retrained"}
    store.write("metrics", cell_id, [row | ends])
