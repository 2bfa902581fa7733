"""The plan as a person reads it: what will run, what sharing saves, how long, what is unknown."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from orchestrator.plan import Cell, ModelSpec, Plan
from orchestrator.shadow_cost import shadow_lines, shadow_summary
from orchestrator.shadow_plan import summarise as summarise_shadows
from orchestrator.store import Store

UNKNOWN_UNTIL_START = (
    "architecture names and options, and scopes that match no layer, are checked when the sweep starts"
)


def summarise(
    plan: Plan, store: Store, *, missing: list[Cell], tuning: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Counts by axis, distinct stages, what sharing saves, and time from past costs.

    Args:
        plan: the whole grid.
        store: results so far; their costs give the time estimates.
        missing: the cells that a run would compute.
        tuning: counts of the search before the audit, where there is one.
    """
    kinds = Counter(model.kind for model in plan.models.values())
    single = [cell for cell in plan.cells if cell.model_id in plan.models]
    naive = sum(len(plan.stages(cell)) for cell in single)
    distinct = len(plan.models)
    estimate, unknown = _seconds(plan, store, missing)
    observed = shadow_summary(plan, store, missing=missing)
    if observed:
        unknown += observed["stages_without_past_cost"]
        estimate = (estimate or 0.0) + observed["seconds"] if estimate or observed["seconds"] else None
    axes = plan.config.axes
    return {
        "cells": len(plan.cells),
        "missing_cells": len(missing),
        "by_axis": {name: len(getattr(axes, name)) for name in plan.cells[0].axes},
        "by_role": dict(Counter(cell.role for cell in plan.cells)),
        "models": dict(kinds),
        "distinct_models": distinct,
        "models_without_sharing": naive,
        "sharing_saves": 1 - distinct / naive,
        "shadows": summarise_shadows(plan.shadow_sets.values(), plan.shadow_groups.values()),
        "observations": observed,
        "forget_sets": {name: len(f.ids) for name, f in plan.data.forget_sets.items()},
        "splits": {k: len(getattr(plan.data.splits, k)) for k in ("train", "validation", "test")},
        "device_seconds": estimate,
        "device_hours": None if estimate is None else estimate / 3600,
        "stages_without_past_cost": unknown,
        "tuning": dict(tuning or {}),
        "not_checked_yet": UNKNOWN_UNTIL_START,
    }


def _seconds(plan: Plan, store: Store, missing: list[Cell]) -> tuple[float | None, int]:
    """Device seconds of what is missing, from the median of equal stages before; and how many have none."""
    past = past_seconds(store)
    wanted = {i for cell in missing for i in plan.stages(cell) if i in plan.models}
    done = store.keys("models")
    keys = [model_key(plan.models[m]) for m in wanted if m not in done]
    keys += [("cell", cell.architecture, cell.attack, "") for cell in missing]
    known = [past[key] for key in keys if key in past]
    return (sum(known) if known or not keys else None), len(keys) - len(known)


def model_key(spec: ModelSpec) -> tuple[str, str, str, str]:
    """Stages of equal key are expected to cost the same."""
    return (spec.kind, spec.architecture, spec.method if spec.kind == "unlearned" else "", spec.scope)


def past_seconds(store: Store) -> Mapping[tuple[str, str, str, str], float]:
    """Median device seconds of finished stages, by what they have in common."""
    found: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for row in store.read("models").to_pylist():
        if row["status"] == "finished" and row["device_seconds"] is not None:
            method = row["method"] if row["kind"] == "unlearned" else ""
            found[row["kind"], row["architecture"], method, row["scope"]].append(row["device_seconds"])
    for row in store.read("cells").to_pylist():
        if row["status"] == "finished" and row["seconds"] is not None:
            found["cell", row["architecture"], row["attack"], ""].append(row["seconds"])
    return {key: statistics.median(values) for key, values in found.items()}


def plan_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary as lines of text."""
    counts = " x ".join(f"{count} {name}" for name, count in summary["by_axis"].items())
    roles = ", ".join(f"{count} {role}" for role, count in summary["by_role"].items())
    models = ", ".join(f"{count} {kind}" for kind, count in summary["models"].items())
    lines = [
        f"grid        {counts}",
        f"cells       {summary['cells']} ({roles}); {summary['missing_cells']} to compute",
        f"models      {summary['distinct_models']} distinct ({models})",
        f"sharing     {summary['models_without_sharing']} models without it: "
        f"saves {summary['sharing_saves']:.0%} of them",
        "examples    " + ", ".join(f"{count} {name}" for name, count in summary["splits"].items()),
        "forget sets " + ", ".join(f"{name}: {count}" for name, count in summary["forget_sets"].items()),
    ]
    if any(summary["shadows"].values()):
        named = {k.removeprefix("shadow_"): v for k, v in summary["shadows"].items()}
        lines.append("shadows     " + ", ".join(f"{count} {name}" for name, count in named.items()))
        lines += shadow_lines(summary["observations"])
    if summary["tuning"]:
        lines.append(
            "tuning      {searches} searches of at most {budget} trials, {trials} in all, on {forget_size} "
            "examples that no audited forget set holds; {missing_searches} to run".format(**summary["tuning"])
        )
    seconds = summary["device_seconds"]
    unknown = summary["stages_without_past_cost"]
    if seconds is None:
        lines.append("time        unknown: no stage like these has run in this results directory")
    else:
        lines.append(
            f"time        {seconds:.0f} device-seconds ({seconds / 3600:.2f} device-hours) from past costs"
        )
        if unknown:
            lines.append(f"unknown     {unknown} stages have no past cost and are not counted")
    lines.append(f"not checked {summary['not_checked_yet']}")
    return lines
