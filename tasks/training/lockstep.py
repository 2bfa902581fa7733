"""Train a batch of models: one after another, or in lockstep as one stack, with the same random draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tasks.errors import AuditError, Diverged
from tasks.images.augment import Augmentation, Moves, interleave
from tasks.objectives.base import Batch
from tasks.runtime.devices import Engine, keeping_freed_memory
from tasks.runtime.modes import still_statistics
from tasks.runtime.seeding import torch_generator
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData, Subset, batch_lengths, images_of
from tasks.training.stacked import Stack, Unstackable, check_stackable, per_model
from tasks.training.strategy_text import Strategy
from tasks.training.train import TrainReport, learning_rate, make_optimizer, set_lr, train

SeedPath = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class ShadowReport(TrainReport):
    """What the training of one model touched, and how it ran."""

    strategy: str
    """Name of the strategy with the true size of the stack: results of two differ in their last bits."""
    error: str = ""
    """Why the model is of no use (it diverged); empty where it is."""
    fallback: str = ""
    """Why the loop ran where lockstep was asked for."""


def train_shadows(
    models: Sequence[nn.Module],
    subsets: Sequence[Subset],
    recipe: Recipe,
    *,
    seed_paths: Sequence[SeedPath],
    engine: Engine,
    strategy: Strategy,
    augmentation: Augmentation | None = None,
) -> list[ShadowReport]:
    """Train models in place, each as `tasks.training.train` would with its own subset and seed path.

    Only models with equally many examples run in lockstep: the rows of a layout are equal up to rounding, so
    they make one or two groups of equal steps and batch lengths. A model that diverges is reported and
    disturbs no other.

    Args:
        models: equal architectures, on the engine's device; left in eval mode.
        subsets: what each learns; of one resident data set.
        recipe: shared by all.
        seed_paths: of each model's order and augmentation.
        engine: device and precision.
        strategy: how; grouped falls back to the loop where a model cannot be stacked, or where the loss
            scale of fp16 would couple the models. Each report names what was done.
        augmentation: None takes the recipe's.

    Raises:
        AuditError: lengths differ, or a subset is empty.
    """
    if not len(models) == len(subsets) == len(seed_paths) or not all(map(len, subsets)):
        counts = f"{len(models)}, {len(subsets)} and {len(seed_paths)}"
        raise AuditError(f"shadows: expected one non-empty subset and seed path for each model, got {counts}")
    reports: dict[int, ShadowReport] = {}
    for rows in _lockstep_groups(subsets, strategy):
        parts = [models[i] for i in rows], [subsets[i] for i in rows], [seed_paths[i] for i in rows]
        found = _train_group(*parts, recipe, engine, strategy, augmentation)
        reports.update(zip(rows, found, strict=True))
    return [reports[i] for i in range(len(models))]


def _lockstep_groups(subsets: Sequence[Subset], strategy: Strategy) -> Iterator[list[int]]:
    """Positions of models with equal lengths and one data set, at most a stack at a time."""
    groups: dict[tuple[int, int], list[int]] = {}
    for position, subset in enumerate(subsets):
        groups.setdefault((len(subset), id(subset.data)), []).append(position)
    for rows in groups.values():
        for start in range(0, len(rows), strategy.stack):
            yield rows[start : start + strategy.stack]


def _train_group(
    models: Sequence[nn.Module],
    subsets: Sequence[Subset],
    seed_paths: Sequence[SeedPath],
    recipe: Recipe,
    engine: Engine,
    strategy: Strategy,
    augmentation: Augmentation | None,
) -> list[ShadowReport]:
    reason = ""
    if strategy.kind == "grouped":
        try:
            return _train_stack(models, subsets, seed_paths, recipe, engine, strategy, augmentation)
        except Unstackable as problem:
            reason = str(problem)
    return [
        replace(_train_alone(model, subset, path, recipe, engine, augmentation), fallback=reason)
        for model, subset, path in zip(models, subsets, seed_paths, strict=True)
    ]


def _train_stack(
    models: Sequence[nn.Module],
    subsets: Sequence[Subset],
    seed_paths: Sequence[SeedPath],
    recipe: Recipe,
    engine: Engine,
    strategy: Strategy,
    augmentation: Augmentation | None,
) -> list[ShadowReport]:
    if len(models) == 1:
        raise Unstackable("no other model with as many examples")
    if engine.precision == "fp16":
        raise Unstackable("one loss scale would couple the models")
    check_stackable(models[0], image_shape(subsets[0]))
    stack = Stack(models).to(memory_format=strategy.memory_format)
    name = replace(strategy, stack=len(models)).name
    with keeping_freed_memory():
        reports = Lockstep(stack, subsets, recipe, seed_paths, engine, augmentation).train(name)
    stack.write_back(models)
    for model in models:
        model.eval()
    return reports


def image_shape(subset: Subset) -> tuple[int, ...]:
    """Channels, height and width of the images.

    Raises:
        Unstackable: there are none.
    """
    if not isinstance(subset.data, ResidentData):
        raise Unstackable(f"expected images, got {subset.data.called}")
    return tuple(subset.data.images.shape[1:])


def _train_alone(
    model: nn.Module,
    subset: Subset,
    seed_path: SeedPath,
    recipe: Recipe,
    engine: Engine,
    augmentation: Augmentation | None,
) -> ShadowReport:
    try:
        done = train(model, subset, recipe, seed_path=seed_path, engine=engine, augmentation=augmentation)
    except Diverged as error:
        model.eval()
        return ShadowReport(samples=0, steps=0, loss=math.nan, strategy="loop", error=str(error))
    return ShadowReport(samples=done.samples, steps=done.steps, loss=done.loss, strategy="loop")


class Lockstep:
    """The training of one stack: every model its own data, order, augmentation and targets at the same step.

    Gradients do not mix, because the loss is the sum of the models' own losses; the optimisers work number
    by number, so one over the stacked tensors does what one for each model would; clipping is for each model.
    """

    def __init__(
        self,
        stack: Stack,
        subsets: Sequence[Subset],
        recipe: Recipe,
        seed_paths: Sequence[SeedPath],
        engine: Engine,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.stack, self.recipe, self.engine = stack, recipe, engine
        self.data = images_of(subsets[0].data)
        self.ids = torch.stack([subset.ids for subset in subsets], dim=1)
        self.targets = torch.stack([subset.targets for subset in subsets], dim=1)
        self.generators = [torch_generator("train", *path) for path in seed_paths]
        self.augmentation = augmentation or self.data.augmentation(recipe.augmentation)
        self.optimizer = make_optimizer(
            stack.parameters(),
            recipe.optimizer,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
        )

    def train(self, strategy: str) -> list[ShadowReport]:
        """Run all epochs, and report each model under the name of the strategy."""
        count, width = self.ids.shape
        steps_per_epoch = len(batch_lengths(count, self.recipe.batch_size))
        errors = [""] * width
        step = 0
        self.engine.begin()
        for epoch in range(1, self.recipe.epochs + 1):
            self.stack.train()
            total = torch.zeros(width, device=self.ids.device)
            for batch in self._batches():
                rate = learning_rate(self.recipe, step, steps_per_epoch)
                total += self._step(batch, rate) * len(batch.ids)
                step += 1
            finite = self.stack.finite() & torch.isfinite(total)
            for index, fine in enumerate(finite.tolist()):
                if not (fine or errors[index]):
                    errors[index] = f"training: non-finite loss or weight in epoch {epoch}"
        losses = (total / count).tolist()
        samples = self.recipe.epochs * count
        return [
            ShadowReport(samples=samples, steps=step, loss=loss, strategy=strategy, error=error)
            for loss, error in zip(losses, errors, strict=True)
        ]

    def _batches(self) -> Iterator[Batch]:
        """One pass: inputs `n x K*C x H x W`, targets and ids `n x K`, drawn as each model alone would."""
        count, device = len(self.ids), self.ids.device
        lengths = batch_lengths(count, self.recipe.batch_size)
        order = torch.stack([torch.randperm(count, generator=g) for g in self.generators], dim=1).to(device)
        moves = self._moves(lengths)
        for number, rows in enumerate(order.split(lengths)):
            ids = self.ids.gather(0, rows)
            images = self.data.inputs(ids.flatten())
            if self.augmentation is not None:
                images = self.augmentation.apply(images, moves[number])
            yield Batch(images.view(len(rows), -1, *images.shape[2:]), self.targets.gather(0, rows), ids)

    def _moves(self, lengths: Sequence[int]) -> list[Moves]:
        """Of each batch of a pass, all models together; none without augmentation."""
        if self.augmentation is None:
            return []
        drawn = interleave([self.augmentation.draw(lengths, g) for g in self.generators])
        return list(drawn.to(self.ids.device).split([count * len(self.generators) for count in lengths]))

    def _step(self, batch: Batch, rate: float) -> Tensor:
        """One step of every model; the loss of each, `K`."""
        set_lr(self.optimizer, rate)
        single = still_statistics(self.stack) if len(batch.ids) == 1 else nullcontext()
        with single, self.engine.autocast():
            logits = self.stack(batch.inputs)
        flat = Batch(batch.inputs, batch.targets.flatten(), batch.ids.flatten())
        losses = self.data.objective.losses(
            logits.float().flatten(0, 1), flat, smoothing=self.recipe.label_smoothing
        )
        losses = losses.view(batch.ids.shape).mean(0)
        self.optimizer.zero_grad(set_to_none=True)
        self.engine.backward(losses.sum())
        if self.recipe.grad_clip > 0:
            clip_each(self.stack, self.recipe.grad_clip)
        self.engine.step(self.optimizer)
        return losses.detach()


def clip_each(stack: Stack, max_norm: float) -> None:
    """Scale the gradients of each model whose norm is above `max_norm`, as torch clips one model's."""
    gradients = [p.grad for p in stack.parameters() if p.grad is not None]
    norms = [torch.linalg.vector_norm(per_model(g, stack.num_models), dim=1) for g in gradients]
    total = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        widths = (stack.num_models, len(gradient) // stack.num_models, *gradient.shape[1:])
        gradient.view(widths).mul_(scale.view(-1, *[1] * (len(widths) - 1)))
