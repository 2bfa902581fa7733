"""Which shadow models a run works on, and in which batches."""

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.records.shadow_batches import shadow_batches
from orchestrator.store.store import Store


@pytest.fixture(scope="module")
def plan():
    changes = {"axes.method": ["finetune"], "axes.attack": ["none", "u_lira"], "shadows.batch": 8}
    return make_plan(load("ulira", changes))


def test_batches_are_fixed_whatever_is_left(plan, tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    (name,) = plan.shadow_sets
    every = [(name, list(range(start, start + 8))) for start in range(0, 32, 8)]
    assert shadow_batches(plan, store, plan.cells) == every
    done = {group.key(j) for group in plan.shadow_groups.values() for j in (0, 1, *range(8, 16))}
    monkeypatch.setattr(store, "keys", lambda table: done)
    assert shadow_batches(plan, store, plan.cells) == [(name, [2, 3, 4, 5, 6, 7]), *every[2:]]


def test_cells_that_rest_on_one_model_need_none(plan, tmp_path):
    single = [cell for cell in plan.cells if cell.subject.id in plan.models]
    assert single
    assert shadow_batches(plan, Store(str(tmp_path)), single) == []
