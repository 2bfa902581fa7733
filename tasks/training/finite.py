"""Whether numbers on a device are finite, asked of it rarely: the host waits for each answer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tasks.errors import Diverged


def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no number of these tensors of one device is infinite or undefined; one wait for all."""
    flags = [torch.isfinite(tensor).all() for tensor in tensors]
    return not flags or bool(torch.stack(flags).all())


class LossWatch:
    """The losses of steps, each kept on the device until somebody looks at all of them at once."""

    def __init__(self) -> None:
        self._losses: list[tuple[int, Tensor]] = []

    def add(self, step: int, loss: Tensor) -> None:
        """Note the loss, one number, of a step; steps are counted from 0."""
        self._losses.append((step, loss.detach().float().reshape(())))

    def check(self) -> None:
        """Look at the losses since the last look.

        Raises:
            Diverged: one of them is not finite; the message names the first such step.
        """
        losses, self._losses = self._losses, []
        if not losses:
            return
        finite = torch.stack([loss for _, loss in losses]).isfinite().tolist()
        for (step, _), fine in zip(losses, finite, strict=True):
            if not fine:
                raise Diverged(f"unlearning: non-finite loss after {step} steps; lower the learning rate")
