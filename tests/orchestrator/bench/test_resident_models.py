"""What models that a process keeps hold of its device, and what counts as work of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from orchestrator.bench import models
from orchestrator.bench.workbench import Workbench
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.store.store import Store
from tests.support.sweeps import write_config


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    store = Store(str(tmp_path / "results"))
    store.check_ready()
    return Workbench(make_plan(load(str(write_config(tmp_path)))), store)


def test_a_model_that_is_kept_holds_no_gradients(bench: Workbench) -> None:
    for kind in ("original", "unlearned"):
        spec = next(spec for spec in bench.plan.models.values() if spec.kind == kind)
        assert bench.make_model(spec.model_id) is None
        assert [p for p in bench.models.get(spec.model_id).parameters() if p.grad is not None] == []


def test_building_a_model_is_no_work_of_the_device(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    build, building = models.build, 1.0

    def slow(*arguments: object) -> torch.nn.Module:
        end = time.process_time() + building
        while time.process_time() < end:
            pass
        return build(*arguments)

    monkeypatch.setattr(models, "build", slow)
    spec = next(spec for spec in bench.plan.models.values() if spec.kind == "original")
    assert bench.make_model(spec.model_id) is None
    (cost,) = bench.store.read("costs").to_pylist()
    assert 0 < cost["device_seconds"] < building
