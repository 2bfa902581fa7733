"""The plan as a person reads it: what will run, what sharing saves, how long, how much, what is unknown."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from orchestrator.backends.work import cell_group, model_group
from orchestrator.config.settings import Execution
from orchestrator.estimate.past import Past, Spent, expected_cells, expected_models
from orchestrator.estimate.shadows import lockstep_lines, lockstep_summary, shadow_lines, shadow_summary
from orchestrator.plan.cells import Cell, ModelSpec, ModelSubject, Plan
from orchestrator.plan.shadows import summarise as summarise_shadows
from orchestrator.progress.events import Stage
from orchestrator.progress.tally import duration
from orchestrator.records import retained_copies
from orchestrator.records.observations import missing_groups
from orchestrator.records.provenance import changed_plugins, devices
from orchestrator.store.store import Store

UNKNOWN_UNTIL_START = (
    "architecture names and options, and scopes that match no layer, are checked when the sweep starts"
)


def summarise(
    plan: Plan,
    store: Store,
    *,
    missing: Sequence[Cell],
    past: Past,
    forgotten: Set[str] = frozenset(),
    tuning: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Counts by axis, distinct stages, what sharing saves, and estimates from what such stages took before.

    Args:
        plan: the whole grid.
        store: results so far.
        missing: the cells that a run would compute.
        past: what stages took, in these results or in a probe.
        forgotten: ids of models, and keys of shadow models, that a run would make again.
        tuning: counts of the search before the audit, where there is one.
    """
    kinds = Counter(model.kind for model in plan.models.values())
    single = [cell for cell in plan.cells if isinstance(cell.subject, ModelSubject)]
    naive = sum(len(plan.stages(cell)) for cell in single)
    distinct = len(plan.models)
    models = _missing_models(plan, store, missing, forgotten)
    observed = shadow_summary(plan, store, missing=missing, seconds=past.shadows, forgotten=forgotten)
    axes = plan.config.axes
    return {
        "cells": len(plan.cells),
        "missing_cells": len(missing),
        "by_axis": {name: len(getattr(axes, name)) for name in plan.cells[0].axes},
        "by_role": dict(Counter(cell.role for cell in plan.cells)),
        "models": dict(kinds),
        "missing_models": len(models),
        "distinct_models": distinct,
        "models_without_sharing": naive,
        "sharing_saves": 1 - distinct / naive if naive else 0.0,
        "shadows": summarise_shadows(plan.shadow_sets.values(), plan.shadow_groups.values()),
        "observations": observed,
        "lockstep": lockstep_summary(past.lockstep, configured=plan.config.shadows.strategy),
        "forget_sets": {name: len(f.ids) for name, f in plan.data.forget_sets.items()},
        "retained_copies": retained_copies.plan_lines(plan.data),
        "splits": {k: len(getattr(plan.data.splits, k)) for k in ("train", "validation", "test")},
        **_time(plan, past, missing, models, observed),
        "memory": _memory(plan, past),
        "disk": _disk(past, missing, models, observed),
        "tuning": dict(tuning or {}),
        "notes": [*plan.notes, *changed_plugins(plan, store)],
        "not_checked_yet": UNKNOWN_UNTIL_START,
    }


def _missing_models(
    plan: Plan, store: Store, missing: Iterable[Cell], forgotten: Set[str]
) -> list[ModelSpec]:
    wanted = {i for cell in missing for i in plan.stages(cell) if i in plan.models}
    return [plan.models[i] for i in sorted(wanted - (store.keys("models") - forgotten))]


def _time(
    plan: Plan,
    past: Past,
    missing: Sequence[Cell],
    models: Sequence[ModelSpec],
    observed: Mapping[str, Any],
) -> dict[str, Any]:
    """Device seconds and wall time of what is missing; None where no such stage has run."""
    found = [*map(past.of_model, models), *map(past.of_cell, missing)]
    known: list[Spent] = [spent for spent in found if spent is not None]
    shadows = observed.get("seconds", 0.0)
    unknown = len(found) - len(known) + observed.get("stages_without_past_cost", 0)
    nothing = bool(unknown) and not known and not shadows
    device = math.fsum(spent.device_seconds for spent in known) + shadows
    wall = math.fsum(spent.seconds for spent in known) + shadows
    workers = worker_count(plan.config.execution)
    return {
        "device_seconds": None if nothing else device,
        "device_hours": None if nothing else device / 3600,
        "workers": workers,
        "wall_seconds": None if nothing or workers is None else wall / workers,
        "time_from": past.source,
        "stages": len(found) + observed.get("stages", 0),
        "stages_without_past_cost": unknown,
    }


def worker_count(execution: Execution) -> int | None:
    """Stages that will run at once; None on a cluster that grows as it likes."""
    if execution.backend == "inline":
        return 1
    if execution.hosts or execution.backend == "cluster":
        return execution.hosts or None
    gpus = len(devices()["gpus"]) if execution.device in ("auto", "cuda") else 0
    return gpus or max(1, (os.cpu_count() or 1) // execution.threads)


def _memory(plan: Plan, past: Past) -> dict[str, Any]:
    """Bytes of the images on a device, and the most that such stages held before."""
    channels, height, width = plan.data.labels.image_shape
    pixels = len(plan.data.labels.labels) * channels * height * width
    return {"image_values": pixels, "peak_bytes": dict(past.peak_bytes), "from": past.source}


def _disk(
    past: Past, missing: Sequence[Cell], models: Sequence[ModelSpec], observed: Mapping[str, Any]
) -> dict[str, Any]:
    """Bytes that the run will write; None where the size of a cell or a model is not known."""
    parts = {
        "models": None if past.model_bytes is None else past.model_bytes * len(models),
        "cells": None if past.cell_bytes is None else past.cell_bytes * len(missing),
        "observations": observed.get("missing_bytes", 0),
    }
    known = [size for size in parts.values() if size is not None]
    return {"bytes": sum(known) if len(known) == len(parts) else None, "parts": parts}


def stages(
    plan: Plan,
    past: Past,
    *,
    models: Sequence[ModelSpec],
    shadows: Iterable[tuple[str, Sequence[int]]],
    cells: Sequence[Cell],
    store: Store,
) -> tuple[Stage, ...]:
    """What a run will do, for the display of its progress.

    Args:
        plan: the whole grid.
        past: what such stages took.
        models: to be trained.
        shadows: batches of shadow models by architecture.
        cells: to be measured.
        store: results so far.
    """
    numbers: Counter[str] = Counter()
    for architecture, batch in shadows:
        numbers[architecture] += len(batch)
    return (
        Stage(
            name="shadow models", units=dict(numbers), expected=_expected_shadows(plan, past, store, numbers)
        ),
        Stage(
            name="training",
            units=dict(Counter(model_group(spec) for spec in models)),
            expected=expected_models(past, models),
        ),
        Stage(
            name="cells",
            units=dict(Counter(cell_group(cell) for cell in cells)),
            expected=expected_cells(plan, past, cells),
        ),
    )


def _expected_shadows(plan: Plan, past: Past, store: Store, numbers: Mapping[str, int]) -> dict[str, float]:
    """Architecture -> wall seconds of a shadow model with all its unlearning; absent where one is unknown."""
    expected = {}
    for architecture, count in numbers.items():
        groups = [g for found in missing_groups(plan, store, architecture).values() for g in found]
        each = [past.shadows.get((g.architecture, g.method, g.scope)) for g in groups]
        if each and None not in each:
            expected[architecture] = math.fsum(s for s in each if s is not None) / count
    return expected


def plan_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary as lines of text."""
    counts = " x ".join(
        f"{count} {name.replace('_', ' ')}{'s' * (count != 1)}" for name, count in summary["by_axis"].items()
    )
    roles = ", ".join(f"{count} {role.replace('_', ' ')}" for role, count in summary["by_role"].items())
    models = ", ".join(f"{count} {kind}" for kind, count in summary["models"].items())
    lines = [
        f"grid        {counts}",
        f"cells       {summary['cells']:,} ({roles}); {summary['missing_cells']:,} to compute",
        f"models      {summary['distinct_models']:,} distinct ({models}); {summary['missing_models']:,} to make",
        f"sharing     {summary['models_without_sharing']:,} models without it: "
        f"saves {summary['sharing_saves']:.0%} of them",
        "examples    " + ", ".join(f"{count:,} {name}" for name, count in summary["splits"].items()),
        "forget sets " + ", ".join(f"{name}: {count:,}" for name, count in summary["forget_sets"].items()),
        *(f"copies      {line}" for line in summary["retained_copies"]),
    ]
    if any(summary["shadows"].values()):
        named = {k.removeprefix("shadow_"): v for k, v in summary["shadows"].items()}
        lines.append("shadows     " + ", ".join(f"{count:,} {name}" for name, count in named.items()))
        lines += shadow_lines(summary["observations"])
        lines += lockstep_lines(summary["lockstep"])
    if summary["tuning"]:
        lines.append(
            "tuning      {searches} searches of at most {budget} trials, {trials} in all, on {forget_size} "
            "examples that no audited forget set holds; {missing_searches} to run".format(**summary["tuning"])
        )
    return [
        *lines,
        *_time_lines(summary),
        *_memory_lines(summary["memory"]),
        _disk_line(summary["disk"]),
        *(f"note        {line}" for line in summary["notes"]),
        f"not checked {summary['not_checked_yet']}",
    ]


def _time_lines(summary: Mapping[str, Any]) -> list[str]:
    if not summary["stages"]:
        return ["time        nothing is left to run"]
    if summary["device_seconds"] is None:
        return [
            "time        unknown: no stage like these has run in this results directory; --probe times "
            "a small sample"
        ]
    hours = summary["device_hours"]
    device = (
        f"{hours:.3g} device-hours" if hours >= 0.1 else f"{summary['device_seconds']:.0f} device-seconds"
    )
    at_once = summary["workers"]
    wall = (
        "; wall time unknown, it depends on the cluster's size (execution.hosts)"
        if summary["wall_seconds"] is None
        else f"; about {duration(summary['wall_seconds'])} with {at_once} at once"
    )
    lines = [f"time        {device}{wall}, from {summary['time_from']}"]
    if summary["stages_without_past_cost"]:
        lines.append(
            f"unknown     {summary['stages_without_past_cost']:,} of {summary['stages']:,} stages are like none "
            "that has run: not counted in time"
        )
    if summary["tuning"].get("missing_searches"):
        lines.append("unknown     what the search before the audit takes: not counted in time")
    return lines


def _memory_lines(memory: Mapping[str, Any]) -> list[str]:
    pixels = memory["image_values"]
    lines = [
        f"images      {_size(pixels)} on each device as bytes, {_size(4 * pixels)} where stored as float32"
    ]
    held = ", ".join(f"{_size(peak)} on {device}" for device, peak in memory["peak_bytes"].items())
    known = f"at most {held} for one process, from {memory['from']}" if held else "unknown beyond the images"
    return [*lines, f"memory      {known}"]


def _disk_line(disk: Mapping[str, Any]) -> str:
    if disk["bytes"] is not None:
        parts = ", ".join(f"{_size(size)} {name}" for name, size in disk["parts"].items() if size)
        return f"disk        {_size(disk['bytes'])} to write{f' ({parts})' if parts else ''}"
    known = disk["parts"]["observations"]
    return "disk        unknown" + (f", beside {_size(known)} of observations" if known else "")


def _size(size: float) -> str:
    """Bytes with a unit, three digits."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
