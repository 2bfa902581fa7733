"""What the plan says that so few shadow models cannot show, and what it refuses."""

import pytest

from orchestrator.config.settings import load
from orchestrator.estimate.shadows import shadow_lines, shadow_summary
from orchestrator.plan.grid import make_plan
from orchestrator.store.store import Store
from tasks.errors import AuditError


def not_shown(tmp_path, changes):
    store = Store(str(tmp_path))
    summary = shadow_summary(make_plan(load("ulira", changes)), store, missing=[], seconds={})
    return [line for line in shadow_lines(summary) if line.startswith("not shown")]


def test_the_plan_tells_what_will_be_missing(tmp_path):
    asked = {"axes.attack": ["u_lira", "example_epsilon"], "evaluation.fprs": [0.01, 1e-4]}
    (rate, ceiling) = not_shown(tmp_path, asked)
    assert "G2 TPR at FPR 0.0001 needs 10,001 negatives, 32 shadows give 3,872; about 84 would do" in rate
    assert "G1 epsilon of one example shows at most 0.37" in ceiling
    assert not_shown(tmp_path, {"axes.attack": ["u_lira"], "evaluation.fprs": [0.01]}) == []


def test_a_bound_that_could_only_be_zero_is_refused():
    few = {"axes.attack": ["example_epsilon"], "shadows.num": 18}
    with pytest.raises(AuditError, match=r"epsilon of one example shows at most 0.00 with 18 shadows"):
        make_plan(load("ulira", few))


def test_a_cell_says_how_many_shadow_models_it_rests_on():
    plan = make_plan(load("ulira", {"axes.attack": ["none", "u_lira"], "shadows.num": 24}))
    numbers = {cell.attack: plan.num_shadows(cell) for cell in plan.cells}
    assert (numbers["none"], numbers["u_lira"]) == (None, 24)
