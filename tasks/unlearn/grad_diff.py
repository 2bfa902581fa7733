"""Gradient difference: ascend on the forget set, descend on the retain set.

    min over the layer scope of  -c E_{D_f} l(x) + w E_{D_r} l(x)

Liu et al., "Continual Learning and Private Unlearning", arXiv 2203.12817; as a baseline for language models: Maini et
al., "TOFU", arXiv 2401.06121. A step is that of NegGrad+ (`neggrad_plus`) with c = 1 - alpha and w = alpha; this method
passes over the forget set, that one over the retain set. With w = 0 it is `gradient_ascent`. The ascent has no bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import register, require
from tasks.unlearn.parts.paired import PairedLosses

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@register("grad_diff")
@dataclass(frozen=True, kw_only=True)
class GradDiff(PairedLosses):
    """Gradient ascent on the forget set beside descent on the retain set."""

    forget_weight: float = 1.0
    """Weight c of the ascent (gamma in public code; its alpha is retain_weight)."""

    passes: ClassVar[str] = "2*E*nf"
    paper: ClassVar[str] = "Liu et al. 2022, arXiv 2203.12817; Maini et al. 2024, arXiv 2401.06121"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.forget_weight > 0, "forget_weight", "a positive number", self.forget_weight)

    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """-c l."""
        return -self.forget_weight * run.losses(batch)
