"""What a plan is: its counts, what sharing saves, and how long, how much, from what such stages took before."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.config.settings import Execution
from orchestrator.estimate.decidable import Decidable, decidable
from orchestrator.estimate.past import Past, Spent
from orchestrator.estimate.shadows import LockstepEstimate, ShadowEstimate, lockstep_summary, shadow_summary
from orchestrator.plan.cells import Cell, ModelSpec, ModelSubject, Plan
from orchestrator.plan.shadows import summarise as summarise_shadows
from orchestrator.records import retained_copies
from orchestrator.records.provenance import changed_plugins, devices
from orchestrator.store.store import Store

UNKNOWN_UNTIL_START = (
    "architecture names and options, and scopes that match no layer, are checked when the sweep starts"
)


@dataclass(frozen=True, kw_only=True)
class SearchEstimate:
    """Counts of the search for hyper-parameters before an audit."""

    budget: int
    """Trials of each search, at most."""
    searches: int
    missing_searches: int
    trials: int
    forget_size: int
    """Examples of the forget set that is searched on."""


@dataclass(frozen=True, kw_only=True)
class TimeEstimate:
    """Time of what is missing; None where no such stage has run."""

    device_seconds: float | None
    workers: int | None
    """Stages that run at once; None on a cluster that grows as it likes."""
    wall_seconds: float | None
    source: str
    """Where the numbers come from."""
    stages: int
    """Stages to compute."""
    stages_without_past_cost: int
    """Those that the times leave out."""

    @property
    def device_hours(self) -> float | None:
        """The same in hours."""
        return None if self.device_seconds is None else self.device_seconds / 3600


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """What a device has to hold."""

    example_bytes: int
    """Of all examples as the devices hold them; images that are stored as float32 take four times as many."""
    of_images: bool
    """Whether the examples are images."""
    peak_bytes: Mapping[str, int]
    """Device -> the most that one process held before."""
    source: str


@dataclass(frozen=True, kw_only=True)
class DiskEstimate:
    """Bytes that a run will write; None where the size of a cell or a model is not known."""

    parts: Mapping[str, float | None]

    @property
    def bytes(self) -> float | None:
        """Of all parts; None where one is unknown."""
        known = [size for size in self.parts.values() if size is not None]
        return sum(known) if len(known) == len(self.parts) else None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a plan would do and cost."""

    cells: int
    missing_cells: int
    by_axis: Mapping[str, int]
    """Values on each axis."""
    by_role: Mapping[str, int]
    models: Mapping[str, int]
    """Distinct models by kind."""
    missing_models: int
    """Those to be made; finished models that are given are not."""
    models_without_sharing: int
    """Models to make if every cell had its own."""
    shadows: Mapping[str, int]
    observations: ShadowEstimate | None
    """None where the plan has no shadow models."""
    lockstep: Mapping[str, LockstepEstimate]
    forget_sets: Mapping[str, int]
    """Examples of each."""
    retained_copies: Sequence[str]
    splits: Mapping[str, int]
    time: TimeEstimate
    memory: MemoryEstimate
    disk: DiskEstimate
    tuning: SearchEstimate | None = None
    """None where nothing is searched."""
    decides: Sequence[Decidable] = ()
    """What can be decided of each primary measure."""
    notes: Sequence[str] = ()
    """What planning decided for the user, and which plug-ins changed since the latest run."""
    not_checked_yet: str = UNKNOWN_UNTIL_START

    @property
    def distinct_models(self) -> int:
        """Models to make with every stage shared."""
        return sum(self.models.values())

    @property
    def sharing_saves(self) -> float:
        """Share of the models that sharing saves."""
        naive = self.models_without_sharing
        return 1 - self.distinct_models / naive if naive else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `--dry-run --format json` prints it; its keys are kept from version to version."""
        return {
            "cells": self.cells,
            "missing_cells": self.missing_cells,
            "by_axis": dict(self.by_axis),
            "by_role": dict(self.by_role),
            "models": dict(self.models),
            "missing_models": self.missing_models,
            "distinct_models": self.distinct_models,
            "models_without_sharing": self.models_without_sharing,
            "sharing_saves": self.sharing_saves,
            "shadows": dict(self.shadows),
            "observations": {} if self.observations is None else self.observations.to_dict(),
            "lockstep": {name: asdict(found) for name, found in self.lockstep.items()},
            "forget_sets": dict(self.forget_sets),
            "retained_copies": list(self.retained_copies),
            "splits": dict(self.splits),
            "device_seconds": self.time.device_seconds,
            "device_hours": self.time.device_hours,
            "workers": self.time.workers,
            "wall_seconds": self.time.wall_seconds,
            "time_from": self.time.source,
            "stages": self.time.stages,
            "stages_without_past_cost": self.time.stages_without_past_cost,
            "memory": {
                "example_bytes": self.memory.example_bytes,
                "peak_bytes": dict(self.memory.peak_bytes),
                "from": self.memory.source,
            },
            "disk": {"bytes": self.disk.bytes, "parts": dict(self.disk.parts)},
            "tuning": {} if self.tuning is None else asdict(self.tuning),
            "decides": [each.to_dict() for each in self.decides],
            "notes": list(self.notes),
            "not_checked_yet": self.not_checked_yet,
        }


def summarise(
    plan: Plan,
    store: Store,
    *,
    missing: Sequence[Cell],
    past: Past,
    forgotten: Set[str] = frozenset(),
    tuning: SearchEstimate | None = None,
) -> Estimate:
    """Counts by axis, distinct stages, what sharing saves, and estimates from what such stages took before.

    Args:
        plan: the whole grid.
        store: results so far.
        missing: the cells that a run would compute.
        past: what stages took, in these results or in a probe.
        forgotten: ids of models, and keys of shadow models, that a run would make again.
        tuning: the search before the audit, where there is one.
    """
    models = _missing_models(plan, store, missing, forgotten)
    observed = shadow_summary(plan, store, missing=missing, seconds=past.shadows, forgotten=forgotten)
    axes = plan.config.axes
    return Estimate(
        cells=len(plan.cells),
        missing_cells=len(missing),
        by_axis={name: len(getattr(axes, name)) for name in plan.cells[0].axes},
        by_role=dict(Counter(cell.role for cell in plan.cells)),
        models=dict(Counter(model.kind for model in plan.models.values())),
        missing_models=len(models),
        models_without_sharing=sum(
            len(plan.stages(c)) for c in plan.cells if isinstance(c.subject, ModelSubject)
        ),
        shadows=summarise_shadows(plan.shadow_sets.values(), plan.shadow_groups.values()),
        observations=observed,
        lockstep=lockstep_summary(past.lockstep, configured=plan.config.shadows.strategy),
        forget_sets={name: len(f.ids) for name, f in plan.data.forget_sets.items()},
        retained_copies=retained_copies.plan_lines(plan.data),
        splits={k: len(getattr(plan.data.splits, k)) for k in ("train", "validation", "test")},
        time=_time(plan, past, missing, models, observed),
        memory=_memory(plan, past),
        disk=_disk(past, missing, models, observed),
        tuning=tuning,
        decides=decidable(plan, store),
        notes=[*plan.notes, *changed_plugins(plan, store)],
    )


def _missing_models(
    plan: Plan, store: Store, missing: Iterable[Cell], forgotten: Set[str]
) -> list[ModelSpec]:
    wanted = {i for cell in missing for i in plan.stages(cell) if i in plan.models}
    made = {i for i in wanted if plan.models[i].file is None}
    return [plan.models[i] for i in sorted(made - (store.keys("models") - forgotten))]


def _time(
    plan: Plan,
    past: Past,
    missing: Sequence[Cell],
    models: Sequence[ModelSpec],
    observed: ShadowEstimate | None,
) -> TimeEstimate:
    found = [*map(past.of_model, models), *map(past.of_cell, missing)]
    known: list[Spent] = [spent for spent in found if spent is not None]
    shadows = observed.seconds if observed else 0.0
    unknown = len(found) - len(known) + (observed.stages_without_past_cost if observed else 0)
    nothing = bool(unknown) and not known and not shadows
    device = math.fsum(spent.device_seconds for spent in known) + shadows
    wall = math.fsum(spent.seconds for spent in known) + shadows
    workers = worker_count(plan.config.execution)
    return TimeEstimate(
        device_seconds=None if nothing else device,
        workers=workers,
        wall_seconds=None if nothing or workers is None else wall / workers,
        source=past.source,
        stages=len(found) + (observed.stages if observed else 0),
        stages_without_past_cost=unknown,
    )


def worker_count(execution: Execution) -> int | None:
    """Stages that will run at once; None on a cluster that grows as it likes."""
    if execution.backend == "inline":
        return 1
    if execution.hosts or execution.backend == "cluster":
        return execution.hosts or None
    if execution.device in ("cuda", "mps"):
        return len(devices()["gpus"]) or 1
    return max(1, (os.cpu_count() or 1) // execution.threads)


def _memory(plan: Plan, past: Past) -> MemoryEstimate:
    labels = plan.data.labels
    return MemoryEstimate(
        example_bytes=labels.example_bytes,
        of_images=bool(labels.image_shape),
        peak_bytes=dict(past.peak_bytes),
        source=past.source,
    )


def _disk(
    past: Past, missing: Sequence[Cell], models: Sequence[ModelSpec], observed: ShadowEstimate | None
) -> DiskEstimate:
    parts = {
        "models": None if past.model_bytes is None else past.model_bytes * len(models),
        "cells": None if past.cell_bytes is None else past.cell_bytes * len(missing),
        "observations": observed.missing_bytes if observed else 0,
    }
    return DiskEstimate(parts=parts)
