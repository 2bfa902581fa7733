"""NegGrad+: descend on the retain set and ascend on the forget set in one step.

    min over the layer scope of  alpha E_{D_r} CE(f(x), y) - (1 - alpha) E_{D_f} CE(f(x), y)

Kurmanji et al., "Towards Unbounded Machine Unlearning", arXiv 2302.09880, section 4 (baseline).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@register("neggrad_plus")
@dataclass(frozen=True, kw_only=True)
class NegGradPlus(Descent):
    """Retain descent joined with forget ascent; the forget set is cycled through each retain epoch."""

    epochs: int = 5
    """Passes over the retain set."""
    alpha: float = 0.95
    """Weight of the retain loss; 1 - alpha weighs the ascent and spans four decades in the literature."""

    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "2*E*nr"
    paper: ClassVar[str] = "Kurmanji et al. 2023, arXiv 2302.09880"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-3, 1e-1),
        # log-uniform in 1 - alpha
        "alpha": ("choice", (0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.alpha <= 1, "alpha", "a number in [0, 1]", self.alpha)

    def __call__(self, run: UnlearningRun) -> None:
        """Step on both losses at once."""
        optimizer = self.make_optimizer(run)
        forgetting = run.cycle(run.forget, self.batch_size, "forget")
        for epoch in range(self.epochs):
            for kept in run.batches(run.retain, self.batch_size, "retain", epoch):
                ascent = run.loss(next(forgetting))
                run.step(optimizer, self.alpha * run.loss(kept) - (1 - self.alpha) * ascent)
            run.end_epoch()
