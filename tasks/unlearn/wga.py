"""Weighted gradient ascent (WGA): ascend on tokens that the model still knows.

    min over the layer scope of  E_{D_f} mean_t p_t^beta log p_t + w E_{D_r} l(x)

p_t is the model's probability of the true token t; the weight p_t^beta is a constant of each step, and vanishes once
the token is forgotten. With beta = 0 it is `grad_diff` with c = 1.

Wang et al., "Rethinking LLM Unlearning Objectives", ICLR 2025, arXiv 2502.19301; settings of
locuslab/open-unlearning@d3d7cf9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.paired import PairedLosses

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@register("wga")
@dataclass(frozen=True, kw_only=True)
class WeightedAscent(PairedLosses):
    """Gradient ascent that fades token by token, beside descent on the retain set."""

    epochs: int = 5
    """Passes over the forget set."""
    beta: float = 1.0
    """Power of a token's probability that weighs its ascent; 0 weighs all alike."""

    passes: ClassVar[str] = "2*E*nf"
    paper: ClassVar[str] = "Wang et al. 2025, arXiv 2502.19301"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-5, 1e-2),
        "beta": ("loguniform", 0.1, 10.0),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, "beta", "0 or more", self.beta)

    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """p^beta log p, mean over the tokens that are asked for."""
        from tasks.objectives.language import mean_over_targets, token_losses

        losses = token_losses(run.outputs(batch.inputs), batch)
        weights = (-self.beta * losses.detach()).exp()
        return -mean_over_targets(weights * losses, batch)
