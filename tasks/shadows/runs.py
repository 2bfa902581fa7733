"""All runs of one shadow model: train it once, unlearn from it with every method, keep the statistics."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from tasks.errors import AuditError
from tasks.networks.scopes import NormStatistics, bind
from tasks.runtime.devices import Engine
from tasks.runtime.memory import MEMORY_ERRORS, named_memory_errors
from tasks.shadows.canaries import Canaries, as_type
from tasks.shadows.layout import ShadowLayout
from tasks.shadows.observations import DENSE, RunBlock
from tasks.training.lockstep import SeedPath, ShadowReport, train_shadows
from tasks.training.recipe import Recipe
from tasks.training.resident import Resident, ResidentData, Subset
from tasks.training.scoring import score
from tasks.training.strategy_text import Strategy
from tasks.unlearn.run import Meter, Tensors, UnlearningRun, unlearn


@dataclass(frozen=True, kw_only=True)
class Unlearning:
    """One unlearning of a shadow model: what with, where, and of which draw."""

    label: str
    """The method's name in results; two settings of one method need two labels."""
    method: Any
    """A method instance (`tasks.unlearn.base`)."""
    scope: str
    pool: str
    draw: int = 0


@dataclass(frozen=True, kw_only=True)
class SharedStage:
    """What a stage took that several runs rest on (saliency, Fisher)."""

    seconds: float
    """Wall time."""
    samples: int
    forward_samples: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ShadowRun:
    """What one run showed and cost."""

    method: str
    """Label; "none" for the shadow as trained, "retrained" for the exact control."""
    scope: str
    pool: str
    draw: int
    block: RunBlock | None
    """Statistics of every requested example; None where the run failed."""
    seconds: float
    """Wall time of training or unlearning, without scoring; of a stack each model's share."""
    samples: int = 0
    forward_samples: int = 0
    steps: int = 0
    strategy: str = "loop"
    """How a training was executed; see `tasks.training.lockstep.Strategy`."""
    rests_on: Mapping[str, SharedStage] = field(default_factory=dict)
    """Shared stages that the run asked for, by name; what they took is no part of what stands above."""
    notes: dict[str, float] = field(default_factory=dict)
    error: str = ""
    """Why there is no block (diverged, left its scope); empty where there is one."""
    error_type: str = "Diverged"
    """Name of the exception, where there is an error."""
    trajectory: np.ndarray | None = None
    """`1 + epochs x P`, float32: phi of the targets (`pool.ids` order) before and after each epoch."""


def plant_images(data: ResidentData, canaries: Canaries) -> None:
    """Put the images of out-of-distribution canaries in their places; mislabelled ones keep their image.

    Labels are planted by `ShadowBench.subset`, which no stage goes around.

    Args:
        data: changed in place; nothing else may read it.
        canaries: of the layout that the data is for.
    """
    if canaries.images is None:
        return
    kind = np.dtype(np.uint8 if data.images.dtype == torch.uint8 else np.float32)
    images = torch.from_numpy(as_type(canaries.images.read(), kind))
    data.images[torch.from_numpy(canaries.ids).to(data.device)] = images.to(data.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShadowBench:
    """What the shadows of one layout share in one process."""

    layout: ShadowLayout
    data: Resident
    """With the images of the layout's canaries (`plant_images`)."""
    recipe: Recipe
    fresh_model: Callable[[SeedPath], nn.Module]
    """A newly initialised model on the engine's device; equal paths give equal bits."""
    example_ids: np.ndarray
    """Examples to observe, int64, sorted."""
    validation_ids: np.ndarray
    """For methods that need one: examples outside the layout's universe."""
    engine: Engine
    strategy: Strategy = field(default_factory=Strategy)
    augment_unlearning: bool = True
    """Whether unlearning augments as the recipe does."""
    norm_statistics: NormStatistics = "update"
    """See `tasks.networks.scopes.bind`."""
    score_batch: int = 256
    """Examples per forward pass. Scoring is a loop over models: measured, stacks gain nothing from 256 on."""

    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Stored per-example scores that methods may rank by, each of length `N`."""

    limited: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    """Limits the time of each unlearning and each training of a batch, as `tasks.runtime.time_limit` does."""

    with_room: Callable[[Callable[[], ShadowRun]], ShadowRun] = lambda work: work()
    """Does an unlearning, and where memory runs out once more with what can be had."""

    def subset(self, ids: np.ndarray) -> Subset:
        """Examples under the labels that shadows are trained with: canaries carry their planted one."""
        subset = self.data.subset(ids)
        canaries = self.layout.canaries
        if canaries is None:
            return subset
        labels = subset.targets.cpu().numpy().copy()
        planted = np.isin(ids, canaries.ids)
        order = np.argsort(canaries.ids)
        labels[planted] = canaries.labels[order][np.searchsorted(canaries.ids[order], ids[planted])]
        return subset.with_targets(torch.from_numpy(labels).to(subset.targets.device))

    def statistics(self, model: nn.Module, ids: np.ndarray) -> dict[str, np.ndarray]:
        """What a `RunBlock` holds of each example, by its name there: of all phi, loss and correct."""
        found = score(model, self.subset(ids), batch_size=self.score_batch).statistics
        return {name: found[name].astype(kind) for name, kind in DENSE.items() if name in found}

    # -- training ------------------------------------------------------------------------------------

    def train(self, shadows: Sequence[int]) -> list[tuple[nn.Module, ShadowRun]]:
        """Train shadow models from their own initialisations, and observe each (method "none").

        All models are held at once: pass a stack or a few at a time.
        """
        layout = self.layout
        models = [self.fresh_model(("shadow init", layout.init_seed(shadow))) for shadow in shadows]
        subsets = [self.subset(layout.members(shadow)) for shadow in shadows]
        paths: list[SeedPath] = [("shadow order", layout.order_seed(shadow)) for shadow in shadows]
        reports, seconds = self._train(models, subsets, paths)
        blank = ShadowRun(method="none", scope="", pool="", draw=0, block=None, seconds=seconds)
        return [
            (model, self._observed(_with_report(blank, report), model, shadow))
            for shadow, model, report in zip(shadows, models, reports, strict=True)
        ]

    def retrain(self, draws: Sequence[tuple[int, str, int]], *, replicate: int = 0) -> list[ShadowRun]:
        """Train on members without the forgotten, from scratch: the exact control (method "retrained").

        Args:
            draws: (shadow, pool, draw) of each; all models are held at once.
            replicate: which of the controls that are independent of each other.
        """
        paths = [(*self.retrain_path(*draw), *([replicate] if replicate else [])) for draw in draws]
        models = [self.fresh_model(path) for path in paths]
        subsets = [self.subset(self._retained(*draw)) for draw in draws]
        reports, seconds = self._train(models, subsets, paths)
        blank = ShadowRun(method="retrained", scope="", pool="", draw=0, block=None, seconds=seconds)
        return [
            self._observed(replace(_with_report(blank, report), pool=pool, draw=draw), model, shadow)
            for (shadow, pool, draw), model, report in zip(draws, models, reports, strict=True)
        ]

    def retrain_path(self, shadow: int, pool: str, draw: int) -> SeedPath:
        """Seed path of the exact control's weights and order; methods that retrain layers follow it."""
        return ("shadow retrain", self.layout.unlearn_seed(shadow, pool, draw))

    def _train(
        self, models: Sequence[nn.Module], subsets: Sequence[Subset], paths: Sequence[SeedPath]
    ) -> tuple[list[ShadowReport], float]:
        began = time.perf_counter()
        with self.limited():
            reports = train_shadows(
                models, subsets, self.recipe, seed_paths=paths, engine=self.engine, strategy=self.strategy
            )
        return reports, (time.perf_counter() - began) / max(1, len(models))

    def _retained(self, shadow: int, pool: str, draw: int) -> np.ndarray:
        return np.setdiff1d(self.layout.members(shadow), self.layout.forget(shadow, pool, draw))

    # -- unlearning ----------------------------------------------------------------------------------

    def unlearn(
        self,
        shadow: int,
        model: nn.Module,
        what: Unlearning,
        *,
        stages: SharedStages | None = None,
        trajectory: bool = False,
    ) -> ShadowRun:
        """Unlearn one draw from a copy of a trained shadow model, and observe the result.

        Args:
            shadow: its number in the layout.
            model: as `train` left it; not changed.
            what: method, scope, pool and draw. The seed depends on the draw alone, so methods are paired.
            stages: intermediate results of other runs, and for them; None keeps nothing.
            trajectory: observe the pool's targets before and after each epoch too.

        Raises:
            AuditError: the method retrains from scratch, or the scope does not fit the architecture.
        """
        if what.method.from_scratch:
            raise AuditError(
                f"method '{what.label}': expected one that starts from the shadow; use retrain()"
            )
        stages = SharedStages() if stages is None else stages
        stages.begin((what.pool, what.draw))
        run = self._unlearning_run(shadow, copy.deepcopy(model), what, stages)
        watch = _Trajectory(self, self.layout.pool(what.pool).ids)
        if trajectory:
            watch(0, model)
            run.on_epoch = watch
        error, error_type, began, scoring = "", "", time.perf_counter(), watch.seconds
        try:
            with self.limited(), self.data.unchanged(by=f"method '{what.label}'"), named_memory_errors():
                unlearn(what.method, run)
        except MEMORY_ERRORS:  # there may be more room for another try
            raise
        except (Exception, SystemExit) as problem:  # diverged, or whatever a plug-in may raise
            error_type = type(problem).__name__
            error = str(problem) if isinstance(problem, AuditError) else f"{error_type}: {problem}"
        done = ShadowRun(
            method=what.label,
            scope=what.scope,
            pool=what.pool,
            draw=what.draw,
            block=None,
            seconds=time.perf_counter() - began - (watch.seconds - scoring) - stages.seconds,
            samples=run.meter.samples,
            forward_samples=run.meter.forward_samples,
            steps=run.meter.steps,
            rests_on=dict(stages.asked),
            notes=dict(run.notes),
            error=error,
            error_type=error_type or "Diverged",
            trajectory=np.stack(watch.rows) if trajectory else None,
        )
        return self._observed(done, run.model, shadow)

    def _unlearning_run(
        self, shadow: int, model: nn.Module, what: Unlearning, stages: SharedStages
    ) -> UnlearningRun:
        return UnlearningRun(
            model=model,
            scope=bind(what.scope, model, norm_statistics=self.norm_statistics),
            forget=self.subset(self.layout.forget(shadow, what.pool, what.draw)),
            retain=self.subset(self._retained(shadow, what.pool, what.draw)),
            validation=self.subset(self.validation_ids),
            seed=self.layout.unlearn_seed(shadow, what.pool, what.draw),
            fresh_model=self.fresh_model,
            augmentation=self.data.augmentation(self.recipe.augmentation)
            if self.augment_unlearning
            else None,
            shared=stages.share,
            recipe=self.recipe,
            retrain_path=self.retrain_path(shadow, what.pool, what.draw),
            engine=self.engine,
            scores=self.scores,
        )

    def _observed(self, run: ShadowRun, model: nn.Module, shadow: int) -> ShadowRun:
        """The run with the model's statistics; with an error where they are of no use."""
        if run.error:
            return run
        found = self.statistics(model, self.example_ids)
        if not all(np.isfinite(values).all() for values in found.values()):
            return replace(run, error="scoring: a logit is not finite; lower the learning rate")
        state = self.layout.states(shadow, self.example_ids, pool=run.pool, draw=run.draw)
        return replace(run, block=RunBlock(shadow=shadow, draw=run.draw, state=state, **found))


WHOLE_SET = ("fisher_train",)
"""Shared stages that depend on the shadow's whole training set, so that all its draws share them."""


class SharedStages:
    """Stages that the runs of one shadow model share; those of a draw are kept until the next draw."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Tensors, SharedStage]] = {}
        self._draw: tuple[str, int] | None = None
        self.asked: dict[str, SharedStage] = {}
        """Those that the present run has asked for."""
        self.seconds = 0.0
        """Wall time that the present run has spent on making and copying them."""

    def begin(self, draw: tuple[str, int]) -> None:
        """A run on a draw (pool, number) begins."""
        if self._draw != draw:
            self._kept = {name: kept for name, kept in self._kept.items() if name in WHOLE_SET}
        self._draw, self.asked, self.seconds = draw, {}, 0.0

    def share(self, name: str, compute: Callable[[], tuple[Tensors, Meter]]) -> Tensors:
        """See `tasks.unlearn.run.Share`."""
        began = time.perf_counter()
        if name not in self._kept:
            tensors, meter = compute()
            took = SharedStage(
                seconds=time.perf_counter() - began,
                samples=meter.samples,
                forward_samples=meter.forward_samples,
            )
            self._kept[name] = tensors, took
        tensors, self.asked[name] = self._kept[name]
        copied = {key: tensor.clone() for key, tensor in tensors.items()}
        self.seconds += time.perf_counter() - began
        return copied


def shadow_runs(
    bench: ShadowBench,
    shadow: int,
    model: nn.Module,
    unlearnings: Sequence[Unlearning],
    *,
    trajectories: bool = False,
) -> Iterator[ShadowRun]:
    """Run all unlearnings of one trained shadow model, one after the other.

    Methods share Fisher information and saliency: those of a draw are kept until the next draw, so list the
    unlearnings draw by draw. Every run names the stages that it rests on, with their whole cost.
    """
    stages = SharedStages()
    for what in unlearnings:
        unlearned = partial(bench.unlearn, shadow, model, what, stages=stages, trajectory=trajectories)
        try:
            run = bench.with_room(unlearned)
        except MEMORY_ERRORS as error:
            run = ShadowRun(
                method=what.label,
                scope=what.scope,
                pool=what.pool,
                draw=what.draw,
                block=None,
                seconds=0.0,
                error=f"{type(error).__name__}: {error}",
                error_type=type(error).__name__,
            )
        yield run


class _Trajectory:
    """Phi of some examples after each epoch, and the time that looking took."""

    def __init__(self, bench: ShadowBench, ids: np.ndarray) -> None:
        self._bench, self._ids = bench, ids
        self.rows: list[np.ndarray] = []
        self.seconds = 0.0

    def __call__(self, epoch: int, model: nn.Module) -> None:
        """Look at the model."""
        began = time.perf_counter()
        self.rows.append(self._bench.statistics(model, self._ids)["phi"])
        self.seconds += time.perf_counter() - began


def _with_report(run: ShadowRun, report: ShadowReport) -> ShadowRun:
    return replace(
        run, samples=report.samples, steps=report.steps, strategy=report.strategy, error=report.error
    )
