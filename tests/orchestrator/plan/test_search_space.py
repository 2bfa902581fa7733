"""Trials of a search: the same in every version, as their results are looked up by their parameters."""

from __future__ import annotations

from orchestrator.config.settings import load
from orchestrator.plan.names import build_method
from orchestrator.plan.search_space import points


def test_trials_stay_what_they_were() -> None:
    """Another stream of random numbers would have every finished trial computed again."""
    config = load("quick", {"tuning.trials": 3})
    assert points(build_method(config, "scrub"), config.tuning) == [
        {"alpha": 0.1038, "gamma": 2.766, "lr": 0.01575, "max_epochs": 3},
        {"alpha": 0.1366, "gamma": 0.6632, "lr": 0.005121, "max_epochs": 2},
        {"alpha": 0.001702, "gamma": 0.1377, "lr": 0.003247, "max_epochs": 4},
    ]
