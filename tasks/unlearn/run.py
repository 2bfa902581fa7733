"""One unlearning in progress: the model under its scope, the data, the streams, the meter."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from tasks.errors import AuditError, Diverged
from tasks.images.augment import Augmentation
from tasks.networks.scopes import BoundScope
from tasks.objectives.base import Batch, Objective
from tasks.runtime.devices import Engine
from tasks.runtime.modes import still_statistics
from tasks.runtime.seeding import isolated_global_rng, torch_generator
from tasks.training.finite import LossWatch, all_finite
from tasks.training.recipe import Optimizer, Recipe
from tasks.training.resident import Subset, images_of
from tasks.training.train import make_optimizer
from tasks.unlearn.base import Method

Tensors = dict[str, Tensor]


@dataclass
class Meter:
    """What an unlearning touched, counted where it happens."""

    samples: int = 0
    """Examples that went through a forward and backward pass, counted once for each pass."""
    forward_samples: int = 0
    """Examples that went through a forward pass alone (teachers, relabelling)."""
    steps: int = 0
    """Optimiser steps."""


Share = Callable[[str, Callable[[], tuple[Tensors, Meter]]], Tensors]
"""Gives the tensors of a stage by its name, from wherever they are kept; or makes them, and is told what that took."""


@dataclass
class UnlearningRun:
    """What a method may use. `model` is changed in place; everything else is read."""

    model: nn.Module
    """Inputs to outputs (images, or ids, to logits). Starts as the original; in train mode where the scope lets it."""
    scope: BoundScope
    """Names of the trainable parameters and of the buffers that may move; see `tasks.networks.scopes`."""
    forget: Subset
    retain: Subset
    validation: Subset
    """Disjoint from training and test data: rewind, thresholds."""
    seed: int
    """Seed of this model; streams are derived from it by purpose."""
    fresh_model: Callable[[tuple[str | int, ...]], nn.Module]
    """A newly initialised model of the same architecture, for a purpose (EU-k, bad teacher)."""
    augmentation: Augmentation | None = None
    """The recipe's augmentation; `batches` applies it."""
    shared: Share | None = None
    """Keeps the stages of `share`; None: this run makes them for itself, as its own work."""
    on_epoch: Callable[[int, nn.Module], None] | None = None
    """Called after every epoch with its number from 1, for per-example trajectories."""
    recipe: Recipe | None = None
    """How the original was trained; EU-k trains its layers so."""
    retrain_path: tuple[str | int, ...] = ("retrain", 0)
    """Seed path of the first retrained model: `fresh_model` of it gives that model's initialisation, and
    training with it that model's data order. EU-k follows it."""
    engine: Engine = field(default_factory=lambda: Engine(device="cpu"))
    """Device and precision of the steps; the default suits a run that stands alone on the CPU."""
    meter: Meter = field(default_factory=Meter)
    losses_seen: LossWatch = field(default_factory=LossWatch)
    """Of the steps since the last epoch ended."""
    notes: dict[str, float] = field(default_factory=dict)
    """Diagnostics that the method reports (mask size, rewound epoch, rate of examples it left alone)."""
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Per-example scores of earlier stages by name (memorisation, privacy risk), each of length `N`."""
    original: nn.Module = field(init=False)
    """The original model: frozen, in eval mode. The teacher of SCRUB, the labeller of boundary shrink."""
    _epoch: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.original = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.engine.begin()
        self.scope.apply(self.model)

    @property
    def device(self) -> torch.device:
        """Where the model and the data live."""
        return self.forget.data.device

    @property
    def objective(self) -> Objective:
        """What the model was trained for."""
        return self.forget.data.objective

    @property
    def num_classes(self) -> int:
        """Classes of the data; for methods of classification alone."""
        return images_of(self.forget.data).num_classes

    @property
    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters in scope, by name."""
        return self.scope.parameters(self.model)

    def generator(self, *purpose: str | int) -> torch.Generator:
        """A CPU generator for one purpose of this run."""
        return torch_generator("unlearn", self.seed, *purpose)

    def share(self, name: str, compute: Callable[[], Tensors]) -> Tensors:
        """A stage that does not depend on the scope (saliency, Fisher), made once for all runs that rest on it.

        Whoever makes it, what that takes is counted apart from the run's own work, so that it does not depend on which
        run came first.
        """
        if self.shared is None:
            return compute()

        def counted() -> tuple[Tensors, Meter]:
            own, self.meter = self.meter, Meter()
            try:
                return compute(), self.meter
            finally:
                self.meter = own

        return self.shared(name, counted)

    def note(self, name: str, value: float) -> None:
        """Report a diagnostic of this unlearning; it is stored beside the costs."""
        self.notes[name] = float(value)

    def optimizer(
        self,
        *,
        lr: float,
        kind: Optimizer = "sgd",
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
    ) -> torch.optim.Optimizer:
        """An optimiser over the scope alone: nothing outside it has decay or momentum."""
        return make_optimizer(
            self.trainable.values(), kind, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=False
        )

    def batches(
        self, subset: Subset, batch_size: int, *purpose: str | int, augment: bool = True
    ) -> Iterator[Batch]:
        """One shuffled pass; equal purposes give equal orders, whatever the method."""
        return subset.batches(
            batch_size,
            generator=self.generator("order", *purpose),
            augmentation=self.augmentation if augment else None,
        )

    def cycle(self, subset: Subset, batch_size: int, *purpose: str | int) -> Iterator[Batch]:
        """Shuffled passes without end (the shorter loader of a paired method)."""
        if not len(subset):
            raise AuditError("unlearning: expected at least one example to cycle through, got none")
        turn = 0
        while True:
            yield from self.batches(subset, batch_size, *purpose, turn)
            turn += 1

    def loss(self, batch: Batch, outputs: Tensor | None = None) -> Tensor:
        """Mean loss on a batch: of the model, counted by the meter, or of `outputs` that are there already."""
        return self.objective.loss(self.outputs(batch.inputs) if outputs is None else outputs, batch)

    def losses(self, batch: Batch, outputs: Tensor | None = None) -> Tensor:
        """Loss of each example of a batch, `n`; otherwise as `loss`."""
        return self.objective.losses(self.outputs(batch.inputs) if outputs is None else outputs, batch)

    def outputs(self, inputs: Tensor) -> Tensor:
        """The model's outputs (logits) with gradients, counted as a forward and backward pass.

        Batch norms normalise a batch of one example by their running statistics: it has none of its own.
        """
        self.meter.samples += len(inputs)
        single = still_statistics(self.model) if len(inputs) == 1 else nullcontext()
        with single, self.engine.autocast():
            return self.model(inputs)

    def teacher_outputs(self, teacher: nn.Module, inputs: Tensor) -> Tensor:
        """Outputs without gradients, counted as a forward pass."""
        self.meter.forward_samples += len(inputs)
        with torch.no_grad(), self.engine.autocast():
            return teacher(inputs)

    def divergence(self, student: Tensor, teacher: Tensor, batch: Batch, temperature: float = 1.0) -> Tensor:
        """KL(teacher || student) of each example, `n`, from outputs on the batch; see `Objective.divergence`."""
        return self.objective.divergence(student, teacher, batch, temperature)

    def relabel(
        self,
        targets: Tensor,
        generator: torch.Generator,
        *,
        exclude_true: bool = True,
        excluded: Tensor | None = None,
    ) -> Tensor:
        """Random targets in place of the true ones; see `Objective.relabel`."""
        return self.objective.relabel(targets, generator, exclude_true=exclude_true, excluded=excluded)

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """One descent step on `loss`; the end of the epoch tells whether it was finite."""
        self.losses_seen.add(self.meter.steps, loss)
        optimizer.zero_grad(set_to_none=True)
        self.engine.backward(loss)
        self.engine.step(optimizer)
        self.meter.steps += 1

    def end_epoch(self) -> None:
        """Tell the run that an epoch is over (trajectories).

        Raises:
            Diverged: the loss of a step was not finite.
        """
        self.losses_seen.check()
        self._epoch += 1
        if self.on_epoch is not None:
            self.scope.evaluate(self.model)
            self.on_epoch(self._epoch, self.model)
            self.scope.train(self.model)

    def finish(self) -> None:
        """Leave the model in eval mode with every gradient switch as it was, and check the contract.

        Raises:
            Diverged: a weight, or the loss of a step, is not finite.
        """
        self.scope.release(self.model)
        self.losses_seen.check()
        state = self.model.state_dict()
        if not all_finite(v for v in state.values() if v.is_floating_point()):
            raise Diverged("unlearning: a weight is not finite; lower the learning rate")
        self.scope.verify(self.original.state_dict(), state)


def unlearn(method: Method, run: UnlearningRun) -> Meter:
    """Run a method to its end and check that nothing outside the scope moved.

    Dropout draws from the global generators; they are put on the run's own stream and put back.

    Raises:
        AuditError: the method is for other objectives.
    """
    method.check_objective(run.objective.name)
    with isolated_global_rng("unlearn", "dropout", run.seed):
        try:
            method(run)
        except Exception:
            run.losses_seen.check()  # what it met may only follow from that
            raise
    run.finish()
    return run.meter
