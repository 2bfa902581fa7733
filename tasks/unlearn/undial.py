"""UNDIAL: distil the forget set from the original with the true token's logit lowered.

    min over the layer scope of  E_{D_f} mean_t KL(q_t || p_t) + w E_{D_r} l(x),   q_t = softmax(z_o,t - beta 1[y_t])

z_o are the original's logits and y_t the true token. The paper writes the cross-entropy of q, which is this divergence
and the entropy of q, a constant of the weights. The loss is bounded below: forgetting has an end.

Dong et al., "UNDIAL: Self-Distillation with Adjusted Logits", NAACL 2025, arXiv 2402.10052; settings of
locuslab/open-unlearning@d3d7cf9, which trains on prompts and on what fills rows as well; here targets alone count.
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


@register("undial")
@dataclass(frozen=True, kw_only=True)
class Undial(PairedLosses):
    """Self-distillation with adjusted logits; the retain set is read only with a weight."""

    lr: float = 1e-4
    """Learning rate; small models need 1e-4 to 1e-3."""
    beta: float = 10.0
    """By how much the true token's logit is lowered."""
    retain_weight: float = 0.0
    """Weight w of the loss on the retain set; 0, as published, does not read it."""

    passes: ClassVar[str] = "2*E*nf; 3*E*nf with retain_weight"
    paper: ClassVar[str] = "Dong et al. 2025, arXiv 2402.10052"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-5, 1e-2),
        "beta": ("loguniform", 1.0, 30.0),
        "retain_weight": ("choice", (0.0, 1.0)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, "beta", "a positive number", self.beta)

    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """KL(q || p), mean over the tokens that are asked for."""
        teacher = run.teacher_outputs(run.original, batch.inputs)
        true = batch.targets.clamp(min=0)[..., None]
        lowered = teacher.scatter_add(-1, true, teacher.new_full((), -self.beta).expand(true.shape))
        return run.divergence(run.outputs(batch.inputs), lowered, batch)
