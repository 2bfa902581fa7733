"""l1-sparse unlearning: fine-tune on the retain set under an l1 penalty.

    min over the layer scope of  E_{D_r} CE(f(x), y) + alpha_e |theta_S|_1
    constant: alpha_e = alpha;   decay: alpha (1 - e/E);   grow: 2 alpha e/E      (e from 0)

Jia et al., "Model Sparsity Can Simplify Machine Unlearning", NeurIPS 2023, arXiv 2304.04934, eq. 4. Only the
parameters S of the layer scope are penalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.unlearn.run import UnlearningRun


@register("l1_sparse")
@dataclass(frozen=True, kw_only=True)
class L1Sparse(Descent):
    """Fine-tune on the retain set with an l1 penalty that changes with the epoch."""

    alpha: float = 1e-4
    """Weight of the l1 norm (sum of magnitudes)."""
    penalty: Literal["constant", "decay", "grow"] = "decay"
    """How the weight of the penalty changes over the penalised epochs."""
    dense_epochs: int = 0
    """Epochs at the end without a penalty."""

    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "E*nr"
    paper: ClassVar[str] = "Jia et al. 2023, arXiv 2304.04934"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-3, 1e-1),
        "alpha": ("loguniform", 1e-6, 1e-4),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha >= 0, "alpha", "0 or more", self.alpha)
        within = 0 <= self.dense_epochs <= self.epochs
        require(within, "dense_epochs", f"0 to epochs ({self.epochs})", self.dense_epochs)

    def __call__(self, run: UnlearningRun) -> None:
        """Descend on the penalised retain loss."""
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            weight = self.weight(epoch)
            for batch in run.batches(run.retain, self.batch_size, "retain", epoch):
                loss = run.loss(batch)
                run.step(optimizer, loss + weight * _l1_norm(run) if weight else loss)
            run.end_epoch()

    def weight(self, epoch: int) -> float:
        """Weight of the penalty in an epoch, counted from 0."""
        penalised = self.epochs - self.dense_epochs
        if epoch >= penalised:
            return 0.0
        share = epoch / penalised
        return self.alpha * {"constant": 1.0, "decay": 1 - share, "grow": 2 * share}[self.penalty]


def _l1_norm(run: UnlearningRun) -> Tensor:
    import torch

    return torch.stack([p.abs().sum() for p in run.trainable.values()]).sum()
