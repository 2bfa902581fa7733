"""Training from scratch: one loop for the original, the retrained and every shadow model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.errors import Diverged
from tasks.images.augment import Augmentation
from tasks.networks.scopes import BoundScope
from tasks.objectives.base import Batch, Objective
from tasks.runtime.devices import Engine
from tasks.runtime.modes import still_statistics
from tasks.runtime.seeding import isolated_global_rng, torch_generator
from tasks.training.finite import all_finite
from tasks.training.recipe import Optimizer, Recipe
from tasks.training.resident import Subset, batch_lengths


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What a training touched."""

    samples: int
    """Examples through a forward and backward pass, counted once for each pass."""
    steps: int
    """Optimiser steps."""
    loss: float
    """Mean training loss over the last epoch."""


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    kind: Optimizer,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> torch.optim.Optimizer:
    """An optimiser by name, with the fused update: one kernel for all parameters on CPU and GPU."""
    chosen = list(parameters)
    if kind == "sgd":
        return torch.optim.SGD(
            chosen, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True
        )
    classes = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return classes[kind](chosen, lr=lr, weight_decay=weight_decay, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Learning rate of optimiser step `step`, counted from 0: warm-up times schedule."""
    total = recipe.epochs * steps_per_epoch
    warmup = recipe.warmup_epochs * steps_per_epoch
    rate = recipe.lr * min(1.0, (step + 1) / warmup) if warmup > 0 else recipe.lr
    if recipe.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * step / total))
    if recipe.schedule == "step":
        return rate * 0.1 ** ((2 * step >= total) + (4 * step >= 3 * total))
    return rate


def train(
    model: nn.Module,
    subset: Subset,
    recipe: Recipe,
    *,
    seed_path: tuple[str | int, ...],
    engine: Engine,
    augmentation: Augmentation | None = None,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
    scope: BoundScope | None = None,
) -> TrainReport:
    """Train `model` in place, and leave it in eval mode.

    Order, augmentation and dropout come from `seed_path`: on one device, equal paths give equal bits.

    Args:
        model: inputs to outputs (images in [0, 1] to logits), on the engine's device.
        subset: examples with the targets to learn.
        recipe: optimiser, schedule, epochs.
        seed_path: names the random streams.
        engine: device and precision.
        augmentation: None takes the recipe's.
        on_epoch: called after each epoch, numbered from 1, with the model in eval mode.
        scope: the parameters to train and the batch norms to hold still (EU-k); None trains everything.

    Raises:
        Diverged: the loss or a weight is not finite at the end of an epoch.
    """
    if augmentation is None:
        augmentation = subset.data.augmentation(recipe.augmentation)
    optimizer = make_optimizer(
        model.parameters() if scope is None else scope.parameters(model).values(),
        recipe.optimizer,
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    steps_per_epoch = len(batch_lengths(len(subset), recipe.batch_size))
    objective, generator = subset.data.objective, torch_generator("train", *seed_path)
    loss = math.nan
    step = 0
    engine.begin()
    with isolated_global_rng("train", "dropout", *seed_path):
        for epoch in range(1, recipe.epochs + 1):
            model.train() if scope is None else scope.train(model)
            total = torch.zeros((), device=subset.data.device)
            for batch in subset.batches(recipe.batch_size, generator=generator, augmentation=augmentation):
                rate = learning_rate(recipe, step, steps_per_epoch)
                total += _step(model, batch, objective, optimizer, recipe, rate, engine) * len(batch.ids)
                step += 1
            loss = float(total) / len(subset)
            model.eval()
            _check_finite(model, loss, epoch)
            if on_epoch is not None:
                on_epoch(epoch, model)
    return TrainReport(samples=recipe.epochs * len(subset), steps=step, loss=loss)


def _step(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    rate: float,
    engine: Engine,
) -> Tensor:
    set_lr(optimizer, rate)
    single = still_statistics(model) if len(batch.ids) == 1 else nullcontext()
    with single, engine.autocast():
        outputs = model(batch.inputs)
    loss = objective.loss(outputs.float(), batch, smoothing=recipe.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    engine.backward(loss)
    engine.step(optimizer, max_norm=recipe.grad_clip)
    return loss.detach()


def _check_finite(model: nn.Module, loss: float, epoch: int) -> None:
    if not (math.isfinite(loss) and all_finite(model.parameters())):
        raise Diverged(f"training: non-finite loss or weight in epoch {epoch}; lower the learning rate")
