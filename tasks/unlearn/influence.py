"""Influence unlearning (IU): one Newton step that removes the forget set, through the inverse Fisher matrix.

    v = (nf / N) (g_f - g_r),   g_f, g_r: mean gradients over D_f and D_r at the original weights
    F = lambda I + (1/n) sum_i g_i g_i^T        over n single retain examples
    theta = theta_o + alpha F^{-1} v

Koh & Liang, arXiv 1703.04730; WoodFisher: Singh & Alistarh, arXiv 2004.14340; for unlearning: Izzo et al.,
arXiv 2002.10077 and Jia et al., arXiv 2304.04934 (sign and factor of v follow from weights 1/nr on D_r and 0
on D_f). The matrix that WoodFisher's rank-one recursion builds has the closed form (Woodbury)

    F^{-1} v = ( v - G^T (n lambda I + G G^T)^{-1} G v ) / lambda,      G = rows g_i,  n x P,

which is computed here. Public code runs the recursion with vectors that stay collinear and so does not apply
F^{-1} at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import Method, SearchRange, register, require

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.unlearn.run import UnlearningRun


@register("influence")
@dataclass(frozen=True, kw_only=True)
class Influence(Method):
    """One step along the inverse-Fisher product of the forget set's influence."""

    alpha: float = 1.0
    """Length of the step; 1 is the Newton step, the literature searches 1 to 20 (users report below 1)."""
    fisher_examples: int = 1000
    """Retain examples n behind the Fisher matrix (all, where there are fewer)."""
    damping: float = 1.0
    """lambda: added to the diagonal of the Fisher matrix; 1 is the start of the published recursion."""

    version: ClassVar[int] = 2
    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "N + 2*n (more where the gradients of n examples exceed 2 GiB)"
    paper: ClassVar[str] = "Jia et al. 2023, arXiv 2304.04934; WoodFisher arXiv 2004.14340"
    search: ClassVar[Mapping[str, SearchRange]] = {"alpha": ("loguniform", 0.1, 20.0)}

    def __post_init__(self) -> None:
        require(self.alpha > 0, "alpha", "a positive number", self.alpha)
        require(self.fisher_examples >= 1, "fisher_examples", "at least 1", self.fisher_examples)
        require(self.damping > 0, "damping", "a positive number", self.damping)

    def __call__(self, run: UnlearningRun) -> None:
        """Take the step, on the layer scope alone."""
        import torch

        from tasks.training.gradients import inverse_fisher_product

        chosen = torch.randperm(len(run.retain), generator=run.generator("fisher examples"))
        sample = run.retain.at(chosen[: self.fisher_examples].to(run.device))
        direction = influence_direction(run)
        step, samples = inverse_fisher_product(run.original, sample, direction, damping=self.damping)
        run.meter.samples += samples
        with torch.no_grad():
            for name, parameter in run.trainable.items():
                parameter.add_(step[name], alpha=self.alpha)


def influence_direction(run: UnlearningRun) -> dict[str, Tensor]:
    """(nf / N) (g_f - g_r) for the parameters in scope, at the original weights in eval mode."""
    from tasks.training.gradients import summed_gradient

    run.meter.samples += len(run.forget) + len(run.retain)
    forget = summed_gradient(run.original, run.forget)
    retain = summed_gradient(run.original, run.retain)
    nf, nr = len(run.forget), len(run.retain)
    return {name: (forget[name] / nf - retain[name] / nr) * (nf / (nf + nr)) for name in run.trainable}
