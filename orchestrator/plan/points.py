"""The points of a grid: the product of the axes, references beside the audited methods, less what is excluded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.cells import Role
from orchestrator.plan.exclusions import excluded
from orchestrator.plan.names import given_methods
from orchestrator.plan.search import SearchConfig

REFERENCES: dict[str, Role] = {"retrain": "reference", "retrain_again": "noise_floor", "no_op": "ceiling"}
"""Methods that every forget set is also run with: what a perfect, a repeated and no unlearning look like."""
CONTROL = "retrain_third"
ROLES: dict[str, Role] = {**REFERENCES, CONTROL: "control"}
"""With the third retrained model, which is judged as if it were a method."""
_AXES = ("architecture", "forget_set", "seed", "method", "scope", "attack")


def unaudited(config: SweepConfig) -> tuple[str, ...]:
    """Methods that are run beside those of the axis: the references, and the control where it is asked for.

    Beside finished models stand the retrained ones that are given, or that a stated recipe gives.
    """
    given = config.given
    if given is not None and (given.retrained or not given.retrain):
        there = {"retrain": given.retrained, "retrain_again": given.retrained_again, "no_op": True}
        return tuple(name for name in REFERENCES if there[name])
    controlled = config.answers.control != "none" or CONTROL in config.axes.method
    return (*REFERENCES, CONTROL) if controlled else tuple(REFERENCES)


def points(config: SweepConfig) -> Iterator[tuple[Any, ...]]:
    """Architecture, forget set, seed, method, scope and attack of every point of the grid that no rule takes out."""
    wanted = _wanted(config)
    return (point for point in _every(config) if wanted(dict(zip(_AXES, point, strict=True))))


def _every(config: SweepConfig) -> Iterator[tuple[Any, ...]]:
    axes = config.axes
    audited = [m for m in axes.method if m not in ROLES]
    given = set(given_methods(config))  # of which nobody knows what they may have changed
    for architecture, forget_set, seed in itertools.product(axes.architecture, axes.forget_set, axes.seed):
        pairs = [(m, "all") for m in unaudited(config)] + [
            (m, scope) for m in audited for scope in (("all",) if m in given else axes.scope)
        ]
        for (method, scope), attack in itertools.product(pairs, axes.attack):
            yield architecture, forget_set, seed, method, scope, attack


def _wanted(config: SweepConfig) -> Callable[[Mapping[str, Any]], bool]:
    """Which points of the grid become cells; a search takes its trials and what they are compared with."""
    if not isinstance(config, SearchConfig):
        is_excluded = excluded(config, ROLES.__contains__)
        return lambda point: not is_excluded(point)
    trials = set(config.points)
    controls = ("retrain", "no_op")
    return lambda p: p["method"] in controls or (p["architecture"], p["method"], p["scope"]) in trials
