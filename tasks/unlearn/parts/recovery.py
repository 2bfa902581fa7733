"""What follows a perturbation of the weights: fine-tuning on the retain set under a schedule by epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.unlearn.parts.descent import Descent
    from tasks.unlearn.run import UnlearningRun


def recover(method: Descent, run: UnlearningRun, factor: Callable[[int], float]) -> None:
    """Fine-tune the layer scope on the retain set.

    Args:
        method: gives the optimiser, the epochs and the batch size.
        run: the unlearning in progress, its weights perturbed.
        factor: of the learning rate, for each epoch from 0.
    """
    from tasks.training.train import set_lr

    optimizer = method.make_optimizer(run)
    for epoch in range(method.epochs):
        set_lr(optimizer, method.lr * factor(epoch))
        method.descend(run, optimizer, run.batches(run.retain, method.batch_size, "retain", epoch))
