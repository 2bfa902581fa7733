"""An estimate as a person reads it: what will run, what sharing saves, how long, how much, what is unknown."""

from __future__ import annotations

from dataclasses import asdict

from orchestrator.estimate.cost import DiskEstimate, Estimate, MemoryEstimate
from orchestrator.estimate.decidable import decidable_lines
from orchestrator.estimate.shadows import lockstep_lines, shadow_lines
from orchestrator.progress.duration import duration


def plan_lines(estimate: Estimate) -> list[str]:
    """The estimate as lines of text."""
    counts = " x ".join(
        f"{count} {name.replace('_', ' ')}{'s' * (count != 1)}" for name, count in estimate.by_axis.items()
    )
    roles = ", ".join(f"{count} {role.replace('_', ' ')}" for role, count in estimate.by_role.items())
    models = ", ".join(f"{count} {kind}" for kind, count in estimate.models.items())
    lines = [
        f"grid        {counts}",
        f"cells       {estimate.cells:,} ({roles}); {estimate.missing_cells:,} to compute",
        f"models      {estimate.distinct_models:,} distinct ({models}); {estimate.missing_models:,} to make",
        f"sharing     {estimate.models_without_sharing:,} models without it: "
        f"saves {estimate.sharing_saves:.0%} of them",
        "examples    " + ", ".join(f"{count:,} {name}" for name, count in estimate.splits.items()),
        "forget sets " + ", ".join(f"{name}: {count:,}" for name, count in estimate.forget_sets.items()),
        *(f"copies      {line}" for line in estimate.retained_copies),
    ]
    if any(estimate.shadows.values()):
        named = {k.removeprefix("shadow_"): v for k, v in estimate.shadows.items()}
        lines.append("shadows     " + ", ".join(f"{count:,} {name}" for name, count in named.items()))
        lines += shadow_lines(estimate.observations)
        lines += lockstep_lines(estimate.lockstep)
    if estimate.tuning:
        lines.append(
            "tuning      {searches} searches of at most {budget} trials, {trials} in all, on {forget_size} "
            "examples that no audited forget set holds; {missing_searches} to run".format(
                **asdict(estimate.tuning)
            )
        )
    return [
        *lines,
        *_time_lines(estimate),
        *_memory_lines(estimate.memory),
        _disk_line(estimate.disk),
        *decidable_lines(estimate.decides),
        *(f"note        {line}" for line in estimate.notes),
        f"not checked {estimate.not_checked_yet}",
    ]


def _time_lines(estimate: Estimate) -> list[str]:
    time = estimate.time
    if not time.stages:
        return ["time        nothing is left to run"]
    if time.device_seconds is None:
        return [
            "time        unknown: no stage like these has run in this results directory; --probe times "
            "a small sample"
        ]
    hours = time.device_seconds / 3600
    device = f"{_digits(hours)} device-hours" if hours >= 0.1 else f"{time.device_seconds:.0f} device-seconds"
    wall = (
        "; wall time unknown, it depends on the cluster's size (execution.hosts)"
        if time.wall_seconds is None
        else f"; about {duration(time.wall_seconds)} with {time.workers} at once"
    )
    lines = [f"time        {device}{wall}, from {time.source}"]
    if time.stages_without_past_cost:
        lines.append(
            f"unknown     {time.stages_without_past_cost:,} of {time.stages:,} stages are like none "
            "that has run: not counted in time"
        )
    if estimate.tuning and estimate.tuning.missing_searches:
        lines.append("unknown     what the search before the audit takes: not counted in time")
    return lines


def _memory_lines(memory: MemoryEstimate) -> list[str]:
    size = memory.example_bytes
    as_floats = f" as bytes, {_size(4 * size)} where stored as float32" if memory.of_images else ""
    lines = [f"examples    {_size(size)} on each device{as_floats}"]
    held = ", ".join(f"{_size(peak)} on {device}" for device, peak in memory.peak_bytes.items())
    known = f"at most {held} for one process, from {memory.source}" if held else "unknown beyond the examples"
    return [*lines, f"memory      {known}"]


def _disk_line(disk: DiskEstimate) -> str:
    if disk.bytes is not None:
        parts = ", ".join(f"{_size(size)} {name}" for name, size in disk.parts.items() if size)
        return f"disk        {_size(disk.bytes)} to write{f' ({parts})' if parts else ''}"
    known = disk.parts["observations"]
    return "disk        unknown" + (f", beside {_size(known)} of observations" if known else "")


def _size(size: float) -> str:
    """Bytes with a unit, three digits."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1000:
            return f"{_digits(size)} {unit}"
        size /= 1024
    return f"{_digits(size)} TiB"


def _digits(value: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"
