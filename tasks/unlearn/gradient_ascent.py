"""Gradient ascent on the forget set (GA, also called NegGrad).

    min over the layer scope of  -E_{(x,y) in D_f} CE(f(x), y)

Graves et al., "Amnesiac Machine Learning", arXiv 2010.10981; Thudi et al., arXiv 2109.13398. The objective
has no lower bound: without a stop the model collapses within tens of steps at a learning rate that forgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@register("gradient_ascent")
@dataclass(frozen=True, kw_only=True)
class GradientAscent(Descent):
    """Ascend on the forget loss, with an optional stop."""

    epochs: int = 5
    """Passes over the forget set."""
    lr: float = 1e-4
    """Learning rate; the published 1e-4 is for whole classes, random forget sets need 5e-4 to 1e-3."""
    stop_loss: float | None = None
    """Stop before the step whose batch has a mean forget loss above this (ln K is chance); none: never."""

    needs_retain: ClassVar[bool] = False
    passes: ClassVar[str] = "E*nf"
    paper: ClassVar[str] = "Thudi et al. 2022, arXiv 2109.13398"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-6, 1e-3)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop_loss is not None:
            require(self.stop_loss > 0, "stop_loss", "a positive number or none", self.stop_loss)

    def __call__(self, run: UnlearningRun) -> None:
        """Ascend on the forget loss."""
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            for batch in run.batches(run.forget, self.batch_size, "forget", epoch):
                loss = run.loss(batch)
                if self.stop_loss is not None and float(loss.detach()) > self.stop_loss:
                    run.note("stopped_at_step", run.meter.steps)
                    return
                run.step(optimizer, -loss)
            run.end_epoch()
