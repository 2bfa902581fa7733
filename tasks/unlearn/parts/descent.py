"""The fields that every method trained by optimiser steps has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.training.recipe import Optimizer
from tasks.unlearn.base import Method, require

if TYPE_CHECKING:
    import torch

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@dataclass(frozen=True, kw_only=True)
class Descent(Method):
    """Stochastic gradient descent over the layer scope at a constant learning rate.

    The defaults are those of the SalUn code base (2310.12508) for CIFAR-10.
    """

    epochs: int = 10
    """Passes over the set that the method steps through."""
    batch_size: int = 256
    """Examples per optimiser step."""
    optimizer: Optimizer = "sgd"
    """sgd, adam or adamw."""
    lr: float = 0.01
    """Learning rate, constant unless the method says otherwise."""
    momentum: float = 0.9
    """Momentum of sgd; ignored by adam and adamw."""
    weight_decay: float = 5e-4
    """L2 coefficient (decoupled for adamw), on the layer scope alone."""

    def __post_init__(self) -> None:
        require(self.epochs >= 0, "epochs", "0 or more", self.epochs)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(self.lr > 0, "lr", "a positive number", self.lr)
        require(0 <= self.momentum < 1, "momentum", "a number in [0, 1)", self.momentum)
        require(self.weight_decay >= 0, "weight_decay", "0 or more", self.weight_decay)

    def make_optimizer(self, run: UnlearningRun) -> torch.optim.Optimizer:
        """The optimiser of these fields over the layer scope."""
        return run.optimizer(
            lr=self.lr, kind=self.optimizer, momentum=self.momentum, weight_decay=self.weight_decay
        )

    def descend(self, run: UnlearningRun, optimizer: torch.optim.Optimizer, batches: Iterable[Batch]) -> None:
        """One epoch: descend on the mean loss of each batch."""
        for batch in batches:
            run.step(optimizer, run.loss(batch))
        run.end_epoch()
