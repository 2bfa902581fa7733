"""Choose how a batch of models is trained by timing a few steps of each way on the device at hand."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from tasks.runtime.devices import Engine, keeping_freed_memory
from tasks.runtime.memory import MEMORY_ERRORS, named_memory_errors
from tasks.training.lockstep import Lockstep, image_shape
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData, Subset
from tasks.training.stacked import Stack, Unstackable, check_stackable
from tasks.training.strategy_text import Strategy
from tasks.training.train import train

STACKS = (4, 16)
"""Sizes that are tried, in this order; a size is left out once the one before it did not pay."""
LEAST_GAIN = 1.1
"""The loop is the reference: another strategy must beat it by this factor."""
MOST_STEPS, SLICE_SECONDS, REPEATS = 8, 0.3, 3
"""Each candidate is timed `REPEATS` times over as many steps as fit a slice; a longer step only once."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A strategy, and the measurement it rests on."""

    strategy: Strategy
    seconds: dict[str, float]
    """Median seconds for one optimiser step of one model, by strategy name."""
    reason: str = ""
    """Why lockstep is impossible; empty where it was measured."""


def choose_strategy(
    model: nn.Module,
    recipe: Recipe,
    *,
    image_shape: tuple[int, ...],
    num_classes: int,
    engine: Engine,
    most: int = STACKS[-1],
    budget_seconds: float = 10.0,
) -> Choice:
    """Time the loop and stacks on synthetic images, and take the fastest.

    A strategy changes results in their last bits alone, and a clock may answer differently twice: a sweep names its
    strategy, and `--dry-run --probe` tells which to name.

    Args:
        model: any model of the architecture, on the engine's device; it is not changed.
        recipe: its batch size, optimiser, clipping and augmentation are what is timed.
        image_shape: channels, height, width.
        num_classes: labels of the synthetic images.
        engine: device and precision.
        most: largest stack, such as the number of models that one task trains.
        budget_seconds: no further candidate is begun after this time.
    """
    data = _synthetic(recipe, image_shape, num_classes, engine.device)
    probe = _Probe(model, recipe, data, engine, time.perf_counter() + budget_seconds)
    with keeping_freed_memory():
        return probe.run(most)


def _synthetic(
    recipe: Recipe, image_shape: tuple[int, ...], num_classes: int, device: torch.device
) -> Subset:
    count = recipe.batch_size
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, *image_shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(num_classes, (count,), generator=generator)
    data = ResidentData(images.to(device), labels.to(device), num_classes)
    return Subset(data, torch.arange(count, device=device), data.labels)


@dataclass
class _Probe:
    """One measurement. The learning rate is next to nothing, so that no weight overflows."""

    model: nn.Module
    recipe: Recipe
    batch: Subset
    engine: Engine
    deadline: float

    def run(self, most: int) -> Choice:
        """Time the candidates, smallest first, and prove the winner."""
        loop = Strategy()
        seconds = {loop.name: self._time(loop)}
        reason = "one loss scale would couple the models" if self.engine.precision == "fp16" else ""
        for size in (size for size in STACKS if size <= most):
            if reason or time.perf_counter() > self.deadline:
                break
            try:
                with named_memory_errors():
                    found = {s.name: self._time(s) for s in _layouts(size)}
            except Unstackable as problem:
                reason = str(problem)
            except MEMORY_ERRORS:
                break
            else:
                gains = min(found.values()) < min(seconds.values())
                seconds |= found
                if not gains:
                    break
        best = Strategy.parse(min(seconds, key=lambda name: seconds[name]))
        if seconds[best.name] * LEAST_GAIN > seconds[loop.name]:
            best = loop
        if best != loop:
            reason = self._disproof()
        return Choice(strategy=loop if reason else best, seconds=seconds, reason=reason)

    def _disproof(self) -> str:
        try:
            check_stackable(self.model, image_shape(self.batch))
        except Unstackable as problem:
            return str(problem)
        return ""

    def _time(self, strategy: Strategy) -> float:
        """Median seconds per step and model, after a step that warms up and tells how many are worth it."""
        models = [copy.deepcopy(self.model) for _ in range(strategy.stack)]
        stack = Stack(models).to(memory_format=strategy.memory_format) if strategy.kind == "grouped" else None
        first = self._seconds(models, stack, 1)
        if first > SLICE_SECONDS:
            return first / len(models)
        steps = min(MOST_STEPS, int(SLICE_SECONDS / first))
        return statistics.median(self._seconds(models, stack, steps) for _ in range(REPEATS)) / (
            steps * len(models)
        )

    def _seconds(self, models: Sequence[nn.Module], stack: Stack | None, steps: int) -> float:
        recipe = replace(self.recipe, epochs=1, lr=1e-6)
        subset = self.batch.at(torch.arange(len(self.batch), device=self.batch.ids.device).repeat(steps))
        paths = [("probe", index) for index in range(len(models))]
        # On the CPU other work of the machine must not decide; there the processor's time is the cost.
        clock = time.process_time if self.engine.device.type == "cpu" else time.perf_counter
        began = clock()
        if stack is None:
            train(models[0], subset, recipe, seed_path=paths[0], engine=self.engine)
        else:
            Lockstep(stack, [subset] * len(models), recipe, paths, self.engine).train("probe")
        return clock() - began


def _layouts(size: int) -> list[Strategy]:
    return [Strategy(kind="grouped", stack=size, channels_last=last) for last in (False, True)]
