"""What the shadow models of a sweep will cost and how many observations each state will have."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.plan import Cell, Plan
from orchestrator.shadow_plan import BASE_METHOD, ShadowGroup, missing_groups
from orchestrator.store import Store
from tasks.shadows.budget import budget

BYTES_PER_ROW = 18
"""Of `observations` on disk, measured at 32 million rows (tests/benchmarks/observations_scale.py)."""


def shadow_summary(
    plan: Plan, store: Store, *, missing: Iterable[Cell], seconds: Mapping[tuple[str, str, str], float]
) -> dict[str, Any]:
    """Observations, bytes and time of the shadow models; empty where the plan has none.

    Args:
        plan: the whole grid.
        store: results so far.
        missing: cells that a run would compute.
        seconds: what shadow models took, by architecture, method and scope.

    Returns:
        observations_per_state: forget set -> state -> mean observations of a target in one method.
        observation_rows, observation_bytes: of a complete sweep, without trajectories.
        missing_bytes: of those that a run would write.
        stages, seconds: (method, shadow model) pairs to compute, and their time from past costs.
        stages_without_past_cost: those that `seconds` leaves out.
    """
    if not plan.shadow_sets:
        return {}
    rows = sum(_rows(plan, group) for group in plan.shadow_groups.values())
    waiting = _waiting(plan, store, missing)
    known = [seconds[_kind(group)] for group in waiting if _kind(group) in seconds]
    return {
        "observations_per_state": _per_state(plan),
        "observation_rows": rows,
        "observation_bytes": rows * BYTES_PER_ROW,
        "missing_bytes": sum(_rows_of_one(plan, group) for group in waiting) * BYTES_PER_ROW,
        "stages": len(waiting),
        "seconds": sum(known),
        "stages_without_past_cost": len(waiting) - len(known),
    }


def shadow_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary as lines of text."""
    if not summary:
        return []
    lines = []
    for pool, states in summary["observations_per_state"].items():
        counts = ", ".join(f"{count:.0f} {state}" for state, count in states.items())
        lines.append(f"per target  {pool}: {counts} observations for each method")
    size = summary["observation_bytes"] / 2**20
    lines.append(f"observed    {summary['observation_rows']:,} rows, {size:,.0f} MiB without trajectories")
    return lines


def _per_state(plan: Plan) -> dict[str, dict[str, float]]:
    """The same for every architecture: layouts differ in nothing but whose models they are."""
    layout = next(iter(plan.shadow_sets.values())).layout
    return budget(layout, num_methods=1, num_examples=1).observations_per_state


def _rows(plan: Plan, group: ShadowGroup) -> int:
    return plan.shadow_sets[group.architecture].layout.num_shadows * _rows_of_one(plan, group)


def _rows_of_one(plan: Plan, group: ShadowGroup) -> int:
    layout, splits = plan.shadow_sets[group.architecture].layout, plan.data.splits
    draws = 1 if group.method == BASE_METHOD else layout.pool(group.pool).draws
    return draws * (len(splits.train) + len(splits.test))


def _waiting(plan: Plan, store: Store, missing: Iterable[Cell]) -> list[ShadowGroup]:
    """A group for each of its shadow models that a run would complete."""
    needed = {stage for cell in missing if cell.model_id in plan.shadow_groups for stage in plan.stages(cell)}
    return [
        group
        for architecture in plan.shadow_sets
        for groups in missing_groups(plan, store, architecture).values()
        for group in groups
        if group.group_id in needed
    ]


def _kind(group: ShadowGroup) -> tuple[str, str, str]:
    return group.architecture, group.method, group.scope


def past_shadow_seconds(store: Store) -> dict[tuple[str, str, str], float]:
    """Median seconds of a shadow model's training, or of all its draws under one method and scope."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    columns = ["kind", "status", "architecture", "method", "scope", "seconds"]
    for row in store.read("models").select(columns).to_pylist():
        if row["kind"] == "shadow" and row["status"] == "finished" and row["seconds"] is not None:
            found[row["architecture"], row["method"], row["scope"]].append(row["seconds"])
    return {key: statistics.median(values) for key, values in found.items()}
