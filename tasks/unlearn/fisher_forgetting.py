"""Fisher forgetting: blur the weights that the retain set does not need with noise.

    F[i] = E_{x in D_r, y ~ p(.|x)} [(d CE(f(x), y) / d theta_i)^2]
    theta = theta_o + noise (F + floor)^{-1/4} n,   n ~ N(0, I),   noise = (lambda sigma_h^2)^{1/4}

Golatkar et al., "Eternal Sunshine of the Spotless Net", CVPR 2020, arXiv 1911.04933 (the optimal noise
covariance is proportional to F^{-1/2}). One label is drawn from the original model's answer for each example,
an unbiased estimate of the inner expectation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import Method, SearchRange, register, require

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("fisher_forgetting")
@dataclass(frozen=True, kw_only=True)
class FisherForgetting(Method):
    """Gaussian noise scaled by the inverse fourth root of the retain set's Fisher information."""

    noise: float = 1e-4
    """(lambda sigma_h^2)^{1/4}: standard deviation of a weight whose Fisher information is 1."""
    floor: float = 1e-8
    """Added to the Fisher information: no weight gets a standard deviation above noise * floor^(-1/4)."""

    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "nr"
    paper: ClassVar[str] = "Golatkar et al. 2020, arXiv 1911.04933"
    search: ClassVar[Mapping[str, SearchRange]] = {"noise": ("loguniform", 1e-5, 1e-2)}

    def __post_init__(self) -> None:
        require(self.noise >= 0, "noise", "0 or more", self.noise)
        require(self.floor > 0, "floor", "a positive number", self.floor)

    def __call__(self, run: UnlearningRun) -> None:
        """Add the noise, on the layer scope alone."""
        import torch

        fisher = run.share("fisher_retain", lambda: model_fisher(run, run.retain))
        for name, parameter in run.trainable.items():
            deviation = self.noise * (fisher[name].to(run.device) + self.floor) ** -0.25
            normal = torch.randn(parameter.shape, generator=run.generator("fisher noise", name))
            parameter.data.add_(deviation * normal.to(run.device))


def model_fisher(run: UnlearningRun, subset: Subset) -> dict[str, Tensor]:
    """Diagonal Fisher information with labels from the original model, for every named parameter.

    The labels come from a stream of their own, equal for every run: the stage is shared.
    """
    import torch

    from tasks.gradients import mean_squared_gradients
    from tasks.seeding import torch_generator

    generator = torch_generator("fisher labels")
    labels = [
        torch.multinomial(
            run.teacher_logits(run.original, batch.images).float().softmax(dim=1).cpu(),
            1,
            generator=generator,
        )
        for batch in subset.batches(256)
    ]
    run.meter.samples += len(subset)
    return mean_squared_gradients(
        run.original, subset.with_labels(torch.cat(labels).squeeze(1).to(run.device))
    )
