"""Negative preference optimisation (NPO), and its form without a reference (SimNPO).

    NPO      min over the layer scope of  -(2 / beta) E_{D_f} log sigma(beta (L(x) - L_o(x))) + w E_{D_r} l(x)
    SimNPO   min over the layer scope of  -c (2 / beta) E_{D_f} log sigma(beta (l(x) - delta)) + w E_{D_r} l(x)

L is the negative log-likelihood of an example's answer, summed over its tokens, L_o the original's, and l the same in
the mean over its tokens. Both weigh the ascent down once an example is forgotten; NPO's sum saturates earlier on long
documents.

Zhang et al., "Negative Preference Optimization", arXiv 2404.05868; Fan et al., "Simplicity Prevails", arXiv 2410.07163.
The public codes also hold another "NPO" (MUSE) on raw logits, which is no function of what the model says; not this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import register, require
from tasks.unlearn.parts.paired import PairedLosses
from tasks.unlearn.parts.preference import preference, rise

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@register("npo")
@dataclass(frozen=True, kw_only=True)
class NPO(PairedLosses):
    """Make the forget set less likely than under the original, ever more gently."""

    beta: float = 0.1
    """How soon an example counts as forgotten; towards 0 it is gradient ascent."""

    passes: ClassVar[str] = "3*E*nf"
    paper: ClassVar[str] = "Zhang et al. 2024, arXiv 2404.05868"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, "beta", "a positive number", self.beta)

    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """-(2 / beta) log sigma(beta (L - L_o)); at the original (2 / beta) ln 2."""
        return preference(rise(run, batch), beta=self.beta)


@register("simnpo")
@dataclass(frozen=True, kw_only=True)
class SimNPO(PairedLosses):
    """Make the forget set unlikely by a margin, whatever it was under the original."""

    beta: float = 2.5
    """How soon an example counts as forgotten."""
    delta: float = 0.0
    """Loss per token beyond which an example counts as forgotten (the paper's gamma over beta)."""
    forget_weight: float = 0.1375
    """Weight c of the loss on the forget set."""

    passes: ClassVar[str] = "2*E*nf"
    paper: ClassVar[str] = "Fan et al. 2024, arXiv 2410.07163"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, "beta", "a positive number", self.beta)
        require(self.delta >= 0, "delta", "0 or more", self.delta)
        require(self.forget_weight > 0, "forget_weight", "a positive number", self.forget_weight)

    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """-c (2 / beta) log sigma(beta (l - delta)), towards 0 as the loss grows."""
        return preference(run.losses(batch) - self.delta, beta=self.beta, weight=self.forget_weight)
