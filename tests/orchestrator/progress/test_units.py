"""What the audience hears of units of work, and how they are grouped."""

from dataclasses import replace

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.progress.events import Done
from orchestrator.progress.units import cell_event, cell_group, model_event, model_group, shadow_events
from tests.support.sweeps import write_config


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return make_plan(load(str(write_config(tmp_path_factory.mktemp("plan")))))


def test_every_problem_of_a_model_is_told(plan):
    spec = next(m for m in plan.trained() if m.kind == "retrained")
    event = model_event(spec, Done(problems=("Diverged: loss", "disk"), seconds=2.0))
    assert (event.status, event.error, event.seconds) == ("failed", "Diverged: loss; disk", 2.0)
    assert event.name == "net retrained random:fraction=0.2 seed 0"
    assert event.group == model_group(spec) == "retrained net"
    assert model_event(spec, Done()).status == "finished"


def test_a_cell_is_told_from_its_row(plan):
    cell = next(c for c in plan.cells if c.method == "finetune" and c.scope == "head" and c.attack == "fgsm")
    done = cell_event(cell, {"status": "finished", "seconds": None}, None)
    assert (done.name, done.seconds) == ("net finetune head fgsm random:fraction=0.2 0", 0.0)
    assert done.group == cell_group(cell) == cell_group(replace(cell, scope="all", seed=3))
    failed = cell_event(cell, {"status": "failed", "error_type": "Diverged", "error": "loss"}, None)
    assert (failed.status, failed.error) == ("failed", "Diverged: loss")


def test_a_batch_of_shadow_models_shares_its_time_and_tells_each_problem():
    events = list(shadow_events("net", [4, 5], Done(problems=("a", "b"), seconds=3.0)))
    assert [event.kind for event in events] == ["shadow", "shadow", "note", "note"]
    assert [event.seconds for event in events[:2]] == [1.5, 1.5]
    assert [event.name for event in events] == ["net shadow 4", "net shadow 5", "failed: a", "failed: b"]
    assert {event.group for event in events[:2]} == {"net"}
