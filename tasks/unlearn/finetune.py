"""Fine-tuning on the retain set, and catastrophic forgetting of the last k layers (CF-k).

    min over the layer scope of  E_{(x,y) in D_r} CE(f(x), y)

Goel et al., "Towards Adversarial Evaluations for Inexact Machine Unlearning", arXiv 2201.06640, section 4.
CF-k *is* this method under the layer scope that holds the last k layers; there is no second class for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import SearchRange, register
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@register("finetune")
@dataclass(frozen=True, kw_only=True)
class Finetune(Descent):
    """Continue training on the retain set; CF-k under a scope of the last k layers."""

    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "E*nr"
    paper: ClassVar[str] = "Goel et al. 2022, arXiv 2201.06640"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-3, 1e-1)}

    def __call__(self, run: UnlearningRun) -> None:
        """Descend on the retain loss."""
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            self.descend(run, optimizer, run.batches(run.retain, self.batch_size, "retain", epoch))
