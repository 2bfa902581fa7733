"""Rows of models that were made elsewhere, and of what they showed: written once, a file for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.outputs.plan import Prepared
from orchestrator.outputs.runs import Run
from orchestrator.outputs.values import statistics
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.records.observations import block_rows, path_of
from orchestrator.records.rows import ELSEWHERE, model_row
from orchestrator.store.store import Store
from tasks.shadows.observations import RunBlock


def write_models(prepared: Prepared, store: Store) -> None:
    """The rows of single models that are not there yet."""
    done = store.keys("models")
    rows = {
        model_id: [{**model_row(prepared.plan, spec, device=ELSEWHERE), "finished_at": datetime.now(UTC)}]
        for model_id, spec in prepared.plan.models.items()
        if model_id not in done
    }
    store.write_all("models", rows)


def unobserved(prepared: Prepared, store: Store) -> list[tuple[ShadowGroup, int, list[Run]]]:
    """What shadow models showed in each group and is not recorded yet: group, shadow model, its runs."""
    plan, done, models = prepared.plan, store.keys("observations"), store.keys("models")
    found = []
    for group in plan.shadow_groups.values():
        by_shadow: defaultdict[int, list[Run]] = defaultdict(list)
        for run in prepared.runs[group.group_id]:
            by_shadow[run.shadow].append(run)
        for shadow, runs in sorted(by_shadow.items()):
            if not {group.key(shadow)} <= done & models:
                found.append((group, shadow, runs))
    return found


def write_observations(
    prepared: Prepared, store: Store, group: ShadowGroup, shadow: int, runs: list[Run]
) -> None:
    """The rows of one shadow model in one group; last its observations, which say that they are there."""
    plan = prepared.plan
    shadows = plan.shadow_sets[group.architecture]
    key, shadow_id = group.key(shadow), shadows.shadow_id(shadow)
    blocks = list(_blocks(prepared, runs))
    shared = {
        "dataset": plan.config.data.name,
        "dataset_digest": plan.data.digest,
        "architecture": group.architecture,
    }
    made = {**shared, "device": ELSEWHERE, "finished_at": datetime.now(UTC)}
    if group == shadows.base():
        store.write("shadows", shadow_id, [{**made, **_shadow_row(prepared, shadow, blocks[0])}])
    row = {
        **made,
        "kind": "shadow",
        "forget_set": group.pool or None,
        "method": group.method,
        "scope": group.scope,
        "seed": 0,
        "shadow": shadow,
        "setting": plan.settings[group.group_id].setting,
        "shadow_set": shadows.set_id,
        "parent_id": group.group_id,
        "status": "finished",
        "rests_on_json": "[]",
    }
    store.write("models", key, [row])
    ids = example_ids(prepared)
    tables = [block_rows(shadow_id, group.pool, ids, block) for block in blocks]
    store.write("observations", key, pa.concat_tables(tables), **path_of(group))


def example_ids(prepared: Prepared) -> np.ndarray:
    """Examples that shadow models are observed on, as in a sweep: training and test examples, sorted."""
    splits = prepared.plan.data.splits
    return np.sort(np.concatenate([splits.train, splits.test]))


def _blocks(prepared: Prepared, runs: list[Run]) -> Iterator[RunBlock]:
    ids, labels = example_ids(prepared), prepared.plan.data.labels
    for run in runs:
        found = statistics(prepared.sources.kind, run.rows.row(run.number), labels.labels)
        correct = None if found.correct is None else found.correct[ids].astype(np.int8)
        yield RunBlock(
            shadow=run.shadow,
            draw=run.draw,
            state=run.states(ids, labels.is_test),
            phi=found.phi[ids].astype(np.float32),
            loss=found.loss[ids].astype(np.float32),
            correct=correct,
        )


def _shadow_row(prepared: Prepared, shadow: int, block: RunBlock) -> dict[str, Any]:
    from tasks.runtime import weights  # torch: a refusal can do without

    plan = prepared.plan
    (shadows,) = plan.shadow_sets.values()
    layout, labels = shadows.layout, plan.data.labels
    inside = np.zeros(len(labels.labels), dtype=bool)
    inside[layout.members(shadow)] = True
    mask = np.packbits(inside, bitorder="little").tobytes()
    ids = example_ids(prepared)
    accuracy = {
        name: None if block.correct is None else float(block.correct[chosen[ids]].mean())
        for name, chosen in (("train_accuracy", inside), ("test_accuracy", labels.is_test))
    }
    return {
        "shadow_set": shadows.set_id,
        "pair_id": f"{shadows.set_id}-{layout.pair(shadow)}",
        "fold": layout.half(shadow),
        "seed": 0,
        "in_mask": mask,
        "in_digest": weights.digest(mask),
        **accuracy,
    }
