"""Time a small sample of every kind of stage, so that a plan can say how long it takes before anything has run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.estimate.past import Key, Past, Spent, model_key, read_past
from orchestrator.plan.cells import Cell, ModelSpec, ModelSubject, Plan
from orchestrator.plan.data import DataPlan
from orchestrator.plan.shadows import BASE_METHOD
from orchestrator.store.store import Store
from tasks.forget_sets.base import ForgetSet

if TYPE_CHECKING:
    from orchestrator.bench.workbench import Workbench
    from tasks.training.strategy import Choice

SAMPLES, SLOW_SAMPLES = (64, 256), (32, 64)
"""Training examples of the two samples that the line through their times rests on, the second where all is slow."""
WARM_UP, SLOW_SECONDS = 48, 4.0
"""Training examples of the run before, which pays for first imports, and its processor seconds that are many."""
BUDGET_SECONDS = 120.0
"""Processor seconds of each run after which no further stage is begun; what was not reached stays unknown."""
LEAST = 8
"""Examples of any split."""


def probe(plan: Plan, missing: Sequence[Cell], past: Past) -> Past:
    """Run one of each kind of stage that has no number yet on two samples of the data, and draw a line
    through their times.

    An architecture is trained for one epoch, a method unlearns once under one scope (the other scopes are taken
    to cost the same), and an attack meets one model. Of shadow models, steps of training are timed in every way that
    the architecture allows, alone and in lockstep; a method takes of them what it takes of a model with as many
    training examples, and what it costs stays unknown where no other cell unlearns with it.

    Args:
        plan: the whole grid.
        missing: cells that a run would compute.
        past: what is known; it is returned with what the probe adds, and wins where both tell.
    """
    models, cells = _chosen(plan, missing, past)
    lockstep = _lockstep(plan, past)
    shadows = dict(_shadow_seconds(plan, lockstep))
    if not models and not cells:
        if not lockstep:
            return past
        source = f"{past.source} and steps of training shadow models"
        return replace(past, shadows={**past.shadows, **shadows}, lockstep=lockstep, source=source)
    runs: list[tuple[Plan, Past]] = []
    with tempfile.TemporaryDirectory(prefix="lethe-probe-") as folder:
        began = time.process_time()
        _run(_sampled(plan, WARM_UP), Store(f"{folder}/warm-up"), [] if cells else models[:1], cells)
        slow = time.process_time() - began > SLOW_SECONDS
        for size in SLOW_SAMPLES if slow else SAMPLES:
            sampled, store = _sampled(plan, size), Store(f"{folder}/{size}")
            _run(sampled, store, models, cells)
            runs.append((sampled, read_past(store)))
    (small, least), (large, most) = runs
    trained, whole = len(large.data.splits.train), len(plan.data.splits.train)
    found = replace(
        most,
        stages=dict(_scaled(plan, (small, least.stages), (large, most.stages), missing)),
        cell_bytes=_extrapolated(
            (len(small.data.splits.train), least.cell_bytes), (trained, most.cell_bytes), whole
        ),
        shadows=shadows | dict(_shadow_unlearning(plan, (small, least.stages), (large, most.stages))),
        lockstep=lockstep,
        source=f"a probe on {trained:,} of {whole:,} training examples",
    )
    return past.completed(found)


def _chosen(plan: Plan, missing: Sequence[Cell], past: Past) -> tuple[list[ModelSpec], list[Cell]]:
    """Of what is not known: a model for each architecture and method, and a cell of a control for each attack."""
    wanted = {stage for cell in missing for stage in plan.stages(cell)} & plan.models.keys()
    models: dict[tuple[str, str], ModelSpec] = {}
    for spec in (plan.models[i] for i in sorted(wanted)):
        key = (spec.architecture, spec.method if spec.kind == "unlearned" else "")
        if past.of_model(spec) is None and (key not in models or spec.scope == "all"):
            models[key] = spec
    cells: dict[tuple[str, str], Cell] = {}
    for cell in missing:
        if isinstance(cell.subject, ModelSubject) and past.of_cell(cell) is None:
            key = (cell.architecture, cell.attack)
            if key not in cells or (cell.role, cells[key].role) == ("ceiling", "audited"):
                cells[key] = cell
    return list(models.values()), list(cells.values())


def _run(plan: Plan, store: Store, models: Iterable[ModelSpec], cells: Iterable[Cell]) -> None:
    """Make models and measure cells in turn, until the time is spent; failures leave their kind unknown."""
    from orchestrator.bench.workbench import Workbench  # torch: a plan without a probe does without

    bench, end = Workbench(plan, store), time.process_time() + BUDGET_SECONDS
    store.check_ready()
    with bench.stages.in_this_process():
        for cell in cells:
            if time.process_time() < end:
                for model_id in filter(None, (cell.reference_id, cell.subject.id)):
                    bench.make_model(model_id)
                bench.run_cell(cell.cell_id, run_id="probe")
        for spec in models:
            if time.process_time() < end:
                bench.make_model(spec.model_id)


def _lockstep(plan: Plan, past: Past) -> dict[str, Choice]:
    """How shadow models are trained fastest, of each architecture whose training has no number yet."""
    unknown = [name for name in plan.shadow_sets if (name, BASE_METHOD, "") not in past.shadows]
    if not unknown or plan.data.labels.vocabulary:  # documents are trained on one after another
        return {}
    from orchestrator.bench.workbench import Workbench

    with tempfile.TemporaryDirectory(prefix="lethe-probe-") as folder:
        bench = Workbench(plan, Store(folder))
        with bench.stages.in_this_process():
            found = {name: _choice(bench, name) for name in unknown}
    return {name: choice for name, choice in found.items() if choice is not None}


def _choice(bench: Workbench, architecture: str) -> Choice | None:
    """What the clock says of one architecture; None where its training fails."""
    from orchestrator.bench.attempt import FAILURES
    from tasks.training.strategy import choose_strategy

    plan = bench.plan
    try:
        with bench.stages.watched():
            return choose_strategy(
                bench.models.build(architecture, ("probe",)),
                plan.shadow_sets[architecture].recipe,
                image_shape=plan.data.labels.image_shape,
                num_classes=plan.data.labels.num_classes,
                engine=bench.stages.engine,
                most=plan.config.shadows.batch,
            )
    except FAILURES:
        return None


def _shadow_seconds(
    plan: Plan, lockstep: Mapping[str, Choice]
) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Time to train a shadow model, and to train it again without each of its draws, as configured."""
    for group in plan.shadow_groups.values():
        if group.unlearns or group.architecture not in lockstep:
            continue
        shadows, measured = plan.shadow_sets[group.architecture], lockstep[group.architecture].seconds
        recipe, layout = shadows.recipe, shadows.layout
        step = measured.get(plan.config.shadows.strategy, measured["loop"])
        steps = recipe.epochs * -(-len(layout.train_ids) // 2 // recipe.batch_size)
        draws = 1 if group.method == BASE_METHOD else layout.pool(group.pool).draws
        yield (group.architecture, group.method, group.scope), step * steps * draws


def _sampled(plan: Plan, size: int) -> Plan:
    """The plan over a sample of the training, validation and test examples, one epoch of training."""
    data = plan.data
    share = min(1.0, size / len(data.splits.train))
    forget = {name: _sampled_forget(f, share) for name, f in data.forget_sets.items()}
    kept = {int(i) for f in forget.values() for i in f.ids}
    all_forgotten = np.unique(np.concatenate([f.ids for f in data.forget_sets.values()]))
    retained = np.setdiff1d(data.splits.train, all_forgotten)
    train = np.union1d(_spread(retained, share), np.fromiter(kept, dtype=np.int64))
    splits = replace(
        data.splits,
        train=train,
        validation=_spread(data.splits.validation, share),
        test=_spread(data.splits.test, share),
    )
    models = {
        key: spec if spec.kind in ("pretrained", "unlearned") else replace(spec, recipe=_one_epoch(spec))
        for key, spec in plan.models.items()
    }
    small: DataPlan = replace(data, splits=splits, forget_sets=forget)
    return replace(plan, data=small, models=models)


def _one_epoch(spec: ModelSpec) -> Any:
    return replace(spec.recipe, epochs=1, warmup_epochs=0)


def _sampled_forget(forget: ForgetSet, share: float) -> ForgetSet:
    return replace(forget, ids=_spread(forget.ids, share))


def _spread(ids: np.ndarray, share: float) -> np.ndarray:
    """Evenly spaced members of a sorted list, at least a few."""
    count = min(len(ids), max(LEAST, round(share * len(ids))))
    return ids[np.linspace(0, len(ids) - 1, count).astype(np.int64)]


Timed = tuple[Plan, Mapping[Key, Spent]]
"""A sample and the time of its stages."""


def _scaled(plan: Plan, small: Timed, large: Timed, missing: Iterable[Cell]) -> Iterator[tuple[Key, Spent]]:
    """The times of whole stages, for every scope, seed and forget set."""
    sizes = [len(sampled.data.splits.train) for sampled, _ in (small, large)]
    for spec in plan.models.values():
        epochs = 1 if spec.kind == "unlearned" else spec.recipe.epochs
        times = [_of_kind(found, spec) for _, found in (small, large)]
        spent = _line(sizes, times, len(plan.data.splits.train) * epochs)
        if spent is not None:
            yield model_key(spec), spent
    for cell in missing:
        key = ("cell", cell.architecture, cell.attack)
        seen = [_examples(sampled, cell) for sampled, _ in (small, large)]
        spent = _line(seen, [found.get(key) for _, found in (small, large)], _examples(plan, cell))
        if spent is not None:
            yield key, spent


def _shadow_unlearning(
    plan: Plan, small: Timed, large: Timed
) -> Iterator[tuple[tuple[str, str, str], float]]:
    """Time to unlearn each draw from a shadow model, which is trained on half of the examples."""
    sizes = [len(sampled.data.splits.train) for sampled, _ in (small, large)]
    for group in plan.shadow_groups.values():
        if not group.unlearns:
            continue
        times = [_of_method(found, group.architecture, group.method) for _, found in (small, large)]
        layout = plan.shadow_sets[group.architecture].layout
        spent = _line(sizes, times, len(layout.train_ids) // 2)
        if spent is not None:
            yield (
                (group.architecture, group.method, group.scope),
                spent.seconds * layout.pool(group.pool).draws,
            )


def _of_method(found: Mapping[Key, Spent], architecture: str, method: str) -> Spent | None:
    """What unlearning took under any scope."""
    return next((s for k, s in found.items() if k[:3] == ("unlearned", architecture, method)), None)


def _of_kind(found: Mapping[Key, Spent], spec: ModelSpec) -> Spent | None:
    """What was taken by the method under any scope, or by training the architecture on any set."""
    if spec.kind == "unlearned":
        return _of_method(found, spec.architecture, spec.method)
    trained = ("original", "retrained")
    return next((s for k, s in found.items() if k[0] in trained and k[1] == spec.architecture), None)


def _line(sizes: Sequence[int], times: Sequence[Spent | None], size: int) -> Spent | None:
    low, high = times
    if low is None or high is None:
        return None
    ends = [_extrapolated((sizes[0], a), (sizes[1], b), size) for a, b in zip(low, high, strict=True)]
    return Spent(ends[0] or 0.0, ends[1] or 0.0)


def _extrapolated(
    first: tuple[int, float | None], second: tuple[int, float | None], size: int
) -> float | None:
    """The value at `size` of the line through two points; it does not fall, nor start below zero."""
    (x, y), (far, top) = first, second
    if y is None or top is None:
        return None
    if far <= x:
        return top * size / far
    slope = min(max(top - y, 0.0) / (far - x), top / far)
    return top + slope * (size - far)


def _examples(plan: Plan, cell: Cell) -> int:
    """Examples that a cell's attack looks at."""
    splits, forget = plan.data.splits, plan.data.forget_sets[cell.forget_set].ids
    sizes = {"forget": len(forget), "retain": len(splits.train) - len(forget), "test": len(splits.test)}
    attack = cell.named_attack.built
    if attack.needs & {"outputs", "shadows"}:
        return sum(sizes.values())
    most = attack.most_examples or max(sizes.values())
    return sum(min(sizes[split], most) for split in plan.config.evaluation.attack_splits)
