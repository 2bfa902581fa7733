"""KL minimisation: ascend on the forget set, and stay near the original's answers on the retain set.

    min over the layer scope of  -E_{D_f} l(x) + w E_{D_r} KL(p_o(x) || p(x))

Maini et al., "TOFU", arXiv 2401.06121. The divergence is the mean over a document's target tokens; public code takes
it over all positions of a batch, prompts and what fills rows among them. The ascent has no bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import register
from tasks.unlearn.parts.paired import PairedLosses

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@register("kl_min")
@dataclass(frozen=True, kw_only=True)
class KLMinimisation(PairedLosses):
    """Gradient ascent on the forget set beside distillation from the original on the retain set."""

    passes: ClassVar[str] = "3*E*nf"
    paper: ClassVar[str] = "Maini et al. 2024, arXiv 2401.06121"

    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """-l."""
        return -run.losses(batch)

    def retain_loss(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """Mean divergence from the original's answers."""
        original = run.teacher_outputs(run.original, batch.inputs)
        return run.divergence(run.outputs(batch.inputs), original, batch).mean()
