"""What became of shadow models as files: their masks, weights, observations, and why some failed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from torch import nn

from orchestrator.plan.cells import Plan
from orchestrator.plan.identity import shared_on_shadow
from orchestrator.plan.shadows import ShadowGroup, ShadowSet
from orchestrator.records.observations import block_rows, path_of
from orchestrator.store.store import Store
from tasks.runtime import weights
from tasks.shadows.observations import RunBlock, State
from tasks.shadows.runs import WHOLE_SET, ShadowBench, ShadowRun


class ShadowRecords:
    """Writes the shadow models of one architecture.

    Args:
        plan: the whole plan of the sweep.
        store: where they are written.
        shadows: the shadow models.
        bench: what runs them.
        told: called whenever a shadow model is done in a group.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        shadows: ShadowSet,
        bench: ShadowBench,
        told: Callable[[], None] | None = None,
    ) -> None:
        self.plan, self.store, self.shadows, self._told = plan, store, shadows, told
        self._example_ids, self._device = bench.example_ids, bench.engine.name

    def observed(self, group: ShadowGroup, shadow: int) -> bool:
        """Whether a shadow model is done in a group, one way or the other."""
        return self.store.has("observations", group.key(shadow), **path_of(group))

    def failure(self, group: ShadowGroup, shadow: int) -> tuple[str, str] | None:
        """Type and words of the error that a shadow model met in a group, as its row tells; None without one."""
        key = group.key(shadow)
        if not self.store.has("models", key):
            return None
        row = self.store.read("models", key).to_pylist()[0]
        return (row["error_type"], row["error"]) if row["status"] == "failed" else None

    def write_shadow(self, shadow: int, model: nn.Module | None, run: ShadowRun) -> None:
        """The row of a shadow model, and its weights where they are kept; there are none of one that hangs."""
        layout, labels = self.shadows.layout, self.plan.data.labels
        key = self.shadows.shadow_id(shadow)
        data = None if model is None else weights.dump(model)
        if data is not None and self.plan.config.shadows.keep_weights and not run.error:
            self.store.put_blob("weights", key, data)
        inside = np.zeros(len(labels.labels), dtype=bool)
        inside[layout.members(shadow)] = True
        accuracy = _accuracy(run.block, inside, self._example_ids)
        mask = np.packbits(inside, bitorder="little").tobytes()
        row = {
            "shadow_set": self.shadows.set_id,
            "pair_id": f"{self.shadows.set_id}-{layout.pair(shadow)}",
            "fold": layout.half(shadow),
            "architecture": self.shadows.architecture,
            "dataset": self.plan.config.data.name,
            "dataset_digest": self.plan.data.digest,
            "seed": self.plan.config.shadows.seed,
            "in_mask": mask,
            "in_digest": weights.digest(mask),
            "canaries_id": None if layout.canaries is None else layout.canaries.digest,
            "train_accuracy": accuracy[0],
            "test_accuracy": accuracy[1],
            "seconds": run.seconds,
            "device": self._device,
            "weights_digest": None if data is None else weights.digest(data),
            "finished_at": datetime.now(UTC),
        }
        self.store.write("shadows", key, [row])

    def write(self, group: ShadowGroup, shadow: int, runs: Sequence[ShadowRun]) -> list[str]:
        """Write what all draws of a group cost, then their observations at once: these say that the group is done.

        Returns:
            Why draws failed, a line for each.
        """
        failed = [run for run in runs if run.error]
        where = f"shadow {shadow} {group.architecture} {group.method} {group.scope} {group.pool}"
        tables = [self._rows(group, shadow, run) for run in runs if run.block is not None]
        key = group.key(shadow)
        self._write_model(group, shadow, runs, failed)
        self.store.write("observations", key, pa.concat_tables(tables) if tables else [], **path_of(group))
        if self._told is not None:
            self._told()
        return [f"{where} draw {run.draw}: {run.error}" for run in failed]

    def _rows(self, group: ShadowGroup, shadow: int, run: ShadowRun) -> pa.Table:
        """What a run showed: every example at its end, then its targets after each epoch."""
        assert run.block is not None
        shadow_id, ids = self.shadows.shadow_id(shadow), self._example_ids
        tables = [block_rows(shadow_id, group.pool, ids, run.block)]
        if run.trajectory is not None:
            targets = self.shadows.layout.pool(group.pool).ids
            state = self.shadows.layout.states(shadow, targets, pool=group.pool, draw=run.draw)
            for epoch, phi in enumerate(run.trajectory):
                block = RunBlock(shadow=shadow, draw=run.draw, state=state, phi=phi)
                tables.append(block_rows(shadow_id, group.pool, targets, block, epoch=epoch))
        return pa.concat_tables(tables, promote_options="default")

    def _write_model(
        self, group: ShadowGroup, shadow: int, runs: Sequence[ShadowRun], failed: Sequence[ShadowRun]
    ) -> None:
        notes: dict[str, Any] = {
            "draws": len(runs),
            "failed_draws": len(failed),
            "strategy": runs[0].strategy,
        }
        stages = self._write_stages(group, shadow, runs)
        row = {
            "kind": "shadow",
            "dataset": self.plan.config.data.name,
            "dataset_digest": self.plan.data.digest,
            "architecture": group.architecture,
            "forget_set": group.pool or None,
            "method": group.method,
            "scope": group.scope,
            "seed": self.plan.config.shadows.seed,
            "shadow": shadow,
            "setting": self.plan.settings[group.group_id].setting,
            "shadow_set": self.shadows.set_id,
            "parent_id": group.group_id,
            "status": "failed" if failed else "finished",
            "error_type": failed[0].error_type if failed else None,
            "error": failed[0].error if failed else None,
            "samples": sum(run.samples for run in runs),
            "forward_samples": sum(run.forward_samples for run in runs),
            "steps": sum(run.steps for run in runs),
            "seconds": sum(run.seconds for run in runs),
            "device": self._device,
            "rests_on_json": json.dumps(stages),
            "notes_json": json.dumps(notes, sort_keys=True),
            "finished_at": datetime.now(UTC),
        }
        self.store.write("models", group.key(shadow), [row])

    def _write_stages(self, group: ShadowGroup, shadow: int, runs: Sequence[ShadowRun]) -> list[str]:
        """Write what the shared stages of all draws took, each once; their ids.

        One that serves all draws is the same in every run; the others are summed over the draws.
        """
        names = sorted({name for run in runs for name in run.rests_on})
        ids = []
        for name in names:
            taken = [run.rests_on[name] for run in runs if name in run.rests_on]
            pool = group.pool
            if name in WHOLE_SET:
                taken, pool = taken[:1], ""
            key = shared_on_shadow(self.shadows.shadow_id(shadow), name, pool)
            row = {
                "model_id": self.shadows.base().key(shadow),
                "stage": "share",
                "device": self._device,
                "seconds": math.fsum(stage.seconds for stage in taken),
                "samples": sum(stage.samples for stage in taken),
                "forward_samples": sum(stage.forward_samples for stage in taken),
                "finished_at": datetime.now(UTC),
            }
            self.store.write("costs", key, [row])
            ids.append(key)
        return ids


def _accuracy(
    block: RunBlock | None, inside: np.ndarray, example_ids: np.ndarray
) -> tuple[float | None, float | None]:
    """Accuracy on members and on test examples: of documents the share of their words, or none would be right."""
    if block is None or block.correct is None:
        return None, None
    right = block.correct if block.token_accuracy is None else block.token_accuracy
    test = block.state == int(State.TEST)
    return float(right[inside[example_ids]].mean()), float(right[test].mean())
