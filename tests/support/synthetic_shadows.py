"""Observations, scores and shadow models of a known kind, written as a sweep writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.store.store import Store
from tests.support.fabricated import fabricated_setting

SHADOWS = 16
TARGETS = np.arange(30, 60)
NUM_EXAMPLES = 90
EPOCHS = 4
ROLES = {"scrub": "audited", "retrain": "reference", "no_op": "ceiling"}
ATTACKS = {"u_lira_g1": "G1", "u_lira_g2": "G2", "retain_harm": "G3"}
MEANS = {"scrub": 0.7, "retrain": 0.5, "no_op": 0.9}
GROUPS = {"scrub": "observed"}
"""Groups whose work `write_work` and `write_trajectories` write."""
NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def masks(seed: int = 5) -> np.ndarray:
    """`SHADOWS x NUM_EXAMPLES`, bool: complementary pairs over the first 80 examples; the rest are tests."""
    generator = np.random.Generator(np.random.PCG64(seed))
    inside = np.zeros((SHADOWS, NUM_EXAMPLES), dtype=bool)
    for pair in range(SHADOWS // 2):
        half = generator.permutation(80)[:40]
        inside[2 * pair, half] = True
        inside[2 * pair + 1, :80] = ~inside[2 * pair, :80]
    return inside


def fill(store: Store) -> None:
    """Add shadow models, trajectories of one method, and cells of three per-example attacks."""
    generator = np.random.Generator(np.random.PCG64(20250302))
    write_shadows(store)
    write_work(store)
    write_trajectories(store, generator)
    for method, role in ROLES.items():
        for attack, game in ATTACKS.items():
            write_cell(store, generator, method, role, attack, game)


def write_shadows(store: Store) -> None:
    """One row of `shadows` for each mask."""
    for j, inside in enumerate(masks()):
        row = {
            "shadow_set": "layout",
            "pair_id": f"layout-{j // 2}",
            "fold": (j // 2) % 2,
            "architecture": "net",
            "dataset": "digits",
            "dataset_digest": "d",
            "in_mask": np.packbits(inside, bitorder="little").tobytes(),
            "in_digest": f"mask{j}",
            "train_accuracy": 0.9 + j / 1000,
            "test_accuracy": 0.8,
            "seconds": 2.0,
        }
        store.write("shadows", f"shadow{j}", [row])


def write_work(store: Store, *, group: str = "observed", finished_at: datetime = NOON) -> None:
    """The rows of `models` that say which setting of the method each shadow model's observations are of."""
    for j in range(SHADOWS):
        failed = int(j == 3)
        work = {
            "kind": "shadow",
            "dataset": "digits",
            "dataset_digest": "d",
            "architecture": "net",
            "forget_set": "random",
            "method": "scrub",
            "scope": "all",
            "setting": f"setting-{group}",
            "parent_id": group,
            "shadow_set": "layout",
            "status": "failed" if failed else "finished",
            "error_type": "Diverged" if failed else None,
            "error": "loss is nan" if failed else None,
            "seconds": 1.0,
            "notes_json": f'{{"draws": 2, "failed_draws": {failed}}}',
            "finished_at": finished_at,
        }
        store.write("models", f"{group}{j}", [work])


def trajectory(generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Rows of epochs: an unlearned example comes down by one each epoch from a height of its own."""
    inside = masks()
    rows: dict[str, list[Any]] = {k: [] for k in ("shadow", "draw", "state", "epoch", "example_id", "phi")}
    for shadow in range(SHADOWS):
        for draw in range(2):
            for i in TARGETS.tolist():
                member = bool(inside[shadow, i])
                forgotten = member and (i + draw) % 2 == 0
                state = "unlearned" if forgotten else "retained" if member else "never"
                height = i % (EPOCHS + 1)
                for epoch in range(EPOCHS + 1):
                    mean = height - epoch if state == "unlearned" else 3.0 if state == "retained" else 0.0
                    rows["phi"].append(mean + 0.2 * generator.standard_normal())
                    rows["state"].append(state)
                    rows["epoch"].append(epoch)
                    rows["example_id"].append(i)
                    rows["shadow"].append(shadow)
                    rows["draw"].append(draw)
    return {name: np.array(values) for name, values in rows.items()}


def write_trajectories(
    store: Store, generator: np.random.Generator, *, group: str = "observed", shift: float = 0.0
) -> None:
    """The trajectory in `observations`, one file for each shadow model; `shift` is added where it is unlearned."""
    rows = trajectory(generator)
    rows["phi"] += shift * (rows["state"] == "unlearned")
    for shadow in range(SHADOWS):
        mine = rows["shadow"] == shadow
        table = pa.table(
            {
                "shadow_id": np.full(mine.sum(), f"shadow{shadow}"),
                "pool": np.full(mine.sum(), "random"),
                **{name: pa.array(values[mine]) for name, values in rows.items()},
            }
        )
        path = {"architecture": "net", "method": "scrub", "scope": "all"}
        store.write("observations", f"{group}{shadow}", table, **path)


def auc_of(generator: np.random.Generator, method: str) -> np.ndarray:
    """An AUC for each target."""
    return np.clip(generator.normal(MEANS[method], 0.1, len(TARGETS)), 0, 1).astype(np.float32)


def write_cell(
    store: Store,
    generator: np.random.Generator,
    method: str,
    role: str,
    attack: str,
    game: str,
    *,
    group: str = "",
) -> str:
    """Cells, metrics and examples of one method under one per-example attack; returns the id of the cell."""
    key = f"{method}-{attack}" + (f"-{group}" if group else "")
    auc = auc_of(generator, method)
    split = "retain" if game == "G3" else "forget"
    runs = [
        {"example_id": int(i), "member": member, "score": float(generator.normal(float(member), 1))}
        for i in TARGETS
        for member in (True, False)
        for _ in range(3)
    ]
    rows = [r | {"split": split, "statistic": "u_lira_online"} for r in runs]
    for i, value in zip(TARGETS, auc, strict=True):
        row = {"example_id": int(i), "split": split, "statistic": "u_lira_online:auc", "score": float(value)}
        rows.append(row | {"score_low": float(value) - 0.15, "score_high": float(value) + 0.15})
        for name, score in (("p_value", (1 - value) / 4), ("q_value", 1 - value)):
            rows.append(row | {"statistic": f"u_lira_online:{name}", "score": float(score)})
    store.write("examples", key, rows, attack=attack)
    mean = float(auc.mean())
    metric = {"metric": "auc", "split": split, "variant": "u_lira_online:example_mean", "game": game}
    metric |= {"value": mean, "ci_low": mean - 0.05, "ci_high": mean + 0.05, "n": len(TARGETS)}
    metrics = [metric | {"higher_is": "closer_to_retrained"}]
    if game == "G3":
        change = {
            "metric": "retain_harm_auc_change",
            "value": mean - 0.5,
            "variant": "",
            "higher_is": "worse",
        }
        metrics.append(metric | change | {"ci_low": mean - 0.54, "ci_high": mean - 0.46})
    store.write("metrics", key, metrics)
    cell = {
        "group_id": group or GROUPS.get(method, f"{method}-group"),
        "shadow_set": "layout",
        "reference_id": "retrain-group",
        "run_id": "run-1",
        "dataset": "digits",
        "architecture": "net",
        "method": method,
        "scope": "all",
        "attack": attack,
        "attack_family": "per_example",
        "attack_params_json": "{}",
        "forget_set": "random",
        "seed": 0,
        "role": role,
        "status": "finished",
        "finished_at": NOON,
    }
    store.write("cells", key, [cell | fabricated_setting(cell, **{"method.group": group})])
    return key
