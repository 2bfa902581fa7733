"""What the models of a sweep answered, as files that `python -m orchestrator.outputs` reads."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.bench.workbench import Workbench
from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.records.observations import read_run_blocks
from orchestrator.store.store import Store
from tasks.shadows.observations import State

ROLES = {"no_op": "original", "retrain": "retrained", "retrain_again": "retrained_again"}


def export(config: Path, results: Path, folder: Path) -> Path:
    """Write every model's logits, and of shadow models margins in place of them; the path of the description.

    Args:
        config: of a sweep whose results are finished, with one architecture and one forget set.
        results: its results.
        folder: to write into.
    """
    plan, store = make_plan(load(str(config))), Store(str(results))
    (forget_set,) = plan.data.forget_sets
    folder.mkdir()
    splits = plan.data.splits
    for name in ("test", "validation"):
        np.save(folder / f"{name}.npy", getattr(splits, name))
    np.save(folder / "labels.npy", plan.data.labels.labels)
    np.save(folder / "forget.npy", plan.data.forget_sets[forget_set].ids)
    models = (
        _shadows(plan, store, folder, forget_set)
        if plan.shadow_sets
        else _models(plan, store, folder, forget_set)
    )
    about = "shadow_models" if plan.shadow_sets else "model"
    lines = [
        'name = "exported"',
        "[outputs]",
        f'kind = "{"margins" if plan.shadow_sets else "logits"}"',
        'labels = "labels.npy"',
        'test = "test.npy"',
        'validation = "validation.npy"',
        f'dataset = "{plan.config.data.name}"',
        f"architecture = {json.dumps(plan.config.axes.architecture[0])}",
        f"attacks = {json.dumps([name for name, attack in plan.attacks.items() if attack.built.subject == about])}",
        "[outputs.forget_sets]",
        f'{json.dumps(forget_set)} = "forget.npy"',
        "[evaluation]",
        f"bootstrap = {plan.config.evaluation.bootstrap}",
    ]
    for name, table in plan.config.attacks.items():
        lines += [f"[attacks.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    for model in models:
        lines += ["[[outputs.models]]", *(f"{key} = {json.dumps(value)}" for key, value in model.items())]
    path = folder / "outputs.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _models(plan: Plan, store: Store, folder: Path, forget_set: str) -> list[dict[str, str]]:
    bench = Workbench(plan, store).measuring
    ids: dict[str, dict[int, str]] = {}
    for cell in plan.cells:
        ids.setdefault(f"{cell.method}-{cell.scope}", {})[cell.seed] = cell.subject.id
    found = []
    for number, (named, by_seed) in enumerate(ids.items()):
        method, _, scope = named.partition("-")
        file = f"{number}.npy"
        np.save(
            folder / file, np.stack([bench.all_outputs(by_seed[seed]).logits for seed in sorted(by_seed)])
        )
        role = ROLES.get(method, "unlearned")
        found.append(
            {"role": role, "file": file} | ({} if role == "original" else {"forget_set": forget_set})
        )
        if role == "unlearned":
            found[-1]["method"] = f"{method}_{scope}"
    return found


def _shadows(plan: Plan, store: Store, folder: Path, forget_set: str) -> list[dict[str, str]]:
    (shadows,) = plan.shadow_sets.values()
    layout, num_examples = shadows.layout, len(plan.data.labels.labels)
    ids = np.sort(np.concatenate([plan.data.splits.train, plan.data.splits.test]))
    members = np.zeros((layout.num_shadows, num_examples), dtype=bool)
    for number in range(layout.num_shadows):
        members[number, layout.members(number)] = True
    np.save(folder / "members.npy", members)
    found = []
    for group in plan.shadow_groups.values():
        if group.method == "no_op":
            continue
        blocks = read_run_blocks(store, group, layout.num_shadows)
        margins = np.zeros((len(blocks), num_examples), dtype=np.float32)
        margins[:, ids] = np.stack([block.phi for block in blocks])
        np.save(folder / f"{group.method}.npy", margins)
        model: dict[str, Any] = {"file": f"{group.method}.npy"}
        if group.method == "none":
            found.append({"role": "shadow", "members": "members.npy", **model})
            continue
        forgotten = np.zeros(margins.shape, dtype=bool)
        forgotten[:, ids] = np.stack([block.state == State.UNLEARNED for block in blocks])
        np.save(folder / f"{group.method}-forgotten.npy", forgotten)
        np.save(folder / f"{group.method}-shadow.npy", np.array([block.shadow for block in blocks]))
        model |= {
            "forgotten": f"{group.method}-forgotten.npy",
            "shadow": f"{group.method}-shadow.npy",
            "forget_set": forget_set,
        }
        retrained = group.method == "retrained"
        found.append({"role": "shadow_retrained" if retrained else "shadow_unlearned", **model})
        if not retrained:
            found[-1]["method"] = group.method
    return found


def measured(results: Path, attacks: Container[str], names: Mapping[str, str]) -> dict[str, list[str]]:
    """Every row of metrics, examples and observations behind some attacks as text, in one order, without ids.

    Args:
        results: of a sweep or of outputs.
        attacks: whose cells are looked at.
        names: other names of methods, by "method_scope".
    """
    store = Store(str(results))
    cells = {row["cell_id"]: row for row in store.read("cells").to_pylist() if row["attack"] in attacks}
    found = {}
    for table in ("metrics", "examples"):
        rows = [row for row in store.read(table).to_pylist() if row["cell_id"] in cells]
        told = []
        for row in rows:
            cell = cells[row.pop("cell_id")]
            method = names.get(f"{cell['method']}_{cell['scope']}", cell["method"])
            place = [method, *(cell[name] for name in ("attack", "role", "forget_set", "seed"))]
            told.append(json.dumps([place, {k: v for k, v in row.items() if k != "attack"}], sort_keys=True))
        found[table] = sorted(told)
    return found
