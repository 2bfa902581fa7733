"""What a shadow model cost and showed, row by row: sums over draws, shared stages once, failures with their words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.records.shadows import ShadowRecords
from orchestrator.store.store import Store
from tasks.runtime import weights
from tasks.shadows.observations import RunBlock, State
from tasks.shadows.runs import ShadowRun, SharedStage
from tests.support.shadow_sweeps import TEXT


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    file = tmp_path_factory.mktemp("plan") / "audit.toml"
    file.write_text(TEXT)
    return make_plan(load(str(file), {}))


class Written:
    """Records of the shadow models of a plan in a store, and what stands there."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.store = plan, Store(str(folder))
        self.shadows = plan.shadow_sets["net"]
        self.layout = self.shadows.layout
        self.ids = np.arange(len(plan.data.labels.labels))
        bench: Any = SimpleNamespace(example_ids=self.ids, engine=SimpleNamespace(name="a device"))
        self.records = ShadowRecords(plan, self.store, self.shadows, bench)
        self.group = next(g for g in plan.shadow_groups.values() if g.method == "finetune")

    def block(self, shadow: int, draw: int, *, answers: bool = True) -> RunBlock:
        """Right on every member, on every fifth test example, and on no other."""
        state = self.layout.states(shadow, self.ids)
        test = np.flatnonzero(state == State.TEST)
        correct = np.isin(self.ids, [*self.layout.members(shadow), *test[::5]])
        phi = np.full(len(self.ids), draw + 0.5, dtype=np.float32)
        return RunBlock(
            shadow=shadow,
            draw=draw,
            state=state,
            phi=phi,
            loss=phi,
            correct=correct.astype(np.int8) if answers else None,
        )

    def run(self, draw: int, **changes: Any) -> ShadowRun:
        values: dict[str, Any] = {
            "method": "finetune",
            "scope": "all",
            "pool": self.group.pool,
            "draw": draw,
            "block": self.block(3, draw),
            "seconds": 2.0 + draw,
            "samples": 30 + draw,
            "forward_samples": 7 + draw,
            "steps": 4 + draw,
        }
        return ShadowRun(**(values | changes))

    def row(self, table: str, key: str) -> dict[str, Any]:
        (row,) = self.store.read(table, key).to_pylist()
        return row


@pytest.fixture
def written(plan: Plan, tmp_path: Path) -> Written:
    return Written(plan, tmp_path)


def stage(seconds: float, samples: int, forward: int) -> SharedStage:
    return SharedStage(seconds=seconds, samples=samples, forward_samples=forward)


def test_what_a_group_cost_is_the_sum_over_its_draws(written: Written) -> None:
    assert written.records.write(written.group, 3, [written.run(0), written.run(1)]) == []
    row = written.row("models", written.group.key(3))
    assert (row["seconds"], row["samples"], row["forward_samples"], row["steps"]) == (5.0, 61, 15, 9)
    assert (row["status"], row["error"], row["error_type"], row["shadow"]) == ("finished", None, None, 3)
    assert (row["device"], row["forget_set"], row["method"]) == ("a device", written.group.pool, "finetune")
    assert json.loads(row["notes_json"]) == {"draws": 2, "failed_draws": 0, "strategy": "loop"}
    assert written.records.observed(written.group, 3)
    assert not written.records.observed(written.group, 2)
    assert written.records.failure(written.group, 3) is None


def test_stages_of_every_draw_are_summed_and_those_of_the_whole_set_count_once(written: Written) -> None:
    whole = stage(5.0, 70, 1)
    shared = [
        {"saliency": stage(1.0 + d, 20, 2), "fisher_train": whole, "fisher_forget": stage(1, 3, 0)}
        for d in (0, 1)
    ]
    written.records.write(written.group, 3, [written.run(d, rests_on=shared[d]) for d in (0, 1)])
    keys = json.loads(written.row("models", written.group.key(3))["rests_on_json"])
    rows = [written.row("costs", key) for key in keys]
    taken = [(row["seconds"], row["samples"], row["forward_samples"]) for row in rows]
    assert taken == [(2, 6, 0), (5, 70, 1), (3, 40, 4)]  # fisher_forget, fisher_train, saliency
    assert {row["model_id"] for row in rows} == {written.shadows.base().key(3)}


def test_a_draw_that_failed_is_told_and_the_others_are_observed(written: Written) -> None:
    lost = written.run(1, block=None, error="loss is nan", error_type="Diverged")
    (line,) = written.records.write(written.group, 3, [written.run(0), lost])
    assert line == f"shadow 3 net finetune all {written.group.pool} draw 1: loss is nan"
    row = written.row("models", written.group.key(3))
    assert (row["status"], row["error_type"], row["error"]) == ("failed", "Diverged", "loss is nan")
    assert written.records.failure(written.group, 3) == ("Diverged", "loss is nan")
    path = {"architecture": "net", "method": "finetune", "scope": "all"}
    seen = written.store.read("observations", written.group.key(3), **path)
    assert set(seen["draw"].to_pylist()) == {0}


def test_targets_are_observed_after_each_epoch(written: Written) -> None:
    targets = written.layout.pool(written.group.pool).ids
    path = np.arange(2 * len(targets), dtype=np.float32).reshape(2, -1)
    written.records.write(written.group, 3, [written.run(0, trajectory=path)])
    where = {"architecture": "net", "method": "finetune", "scope": "all"}
    rows = [
        r
        for r in written.store.read("observations", written.group.key(3), **where).to_pylist()
        if r["epoch"] is not None
    ]
    assert [(r["epoch"], r["example_id"], r["phi"]) for r in rows] == [
        (epoch, target, path[epoch, place]) for epoch in (0, 1) for place, target in enumerate(targets)
    ]


@pytest.mark.parametrize("keep", [True, False])
def test_a_shadow_model_is_recorded_with_its_members_accuracy_and_weights(
    plan: Plan, tmp_path: Path, keep: bool
) -> None:
    config = replace(plan.config, shadows=replace(plan.config.shadows, keep_weights=keep))
    written, model = Written(replace(plan, config=config), tmp_path), nn.Linear(2, 1)
    written.records.write_shadow(3, model, written.run(0))
    key = written.shadows.shadow_id(3)
    row = written.row("shadows", key)
    inside = np.unpackbits(np.frombuffer(row["in_mask"], np.uint8), count=len(written.ids), bitorder="little")
    assert np.flatnonzero(inside).tolist() == written.layout.members(3).tolist()
    assert (row["train_accuracy"], row["test_accuracy"]) == (1.0, 0.2)
    assert row["weights_digest"] == weights.digest(weights.dump(model))
    assert written.store.has_blob("weights", key) is keep


def test_a_shadow_model_that_hangs_has_a_row_without_weights(written: Written) -> None:
    written.records.write_shadow(3, None, written.run(0, block=None, error="it hangs"))
    row = written.row("shadows", written.shadows.shadow_id(3))
    assert (row["weights_digest"], row["train_accuracy"], row["test_accuracy"]) == (None, None, None)
    written.records.write_shadow(3, nn.Linear(2, 1), written.run(0, block=written.block(3, 0, answers=False)))
    assert written.row("shadows", written.shadows.shadow_id(3))["train_accuracy"] is None
