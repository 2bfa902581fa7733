"""Fisher forgetting: blur the weights that the retain set does not need with noise.

    F[i] = E_{x in D_r, y ~ p(.|x)} [(d CE(f(x), y) / d theta_i)^2]
    theta = theta_o + noise (F + floor)^{-exponent} n,   n ~ N(0, I)

Golatkar et al., "Eternal Sunshine of the Spotless Net", CVPR 2020, arXiv 1911.04933: exponent 1/4 and
noise = (lambda sigma_h^2)^{1/4}, for the covariance that is optimal on a quadratic loss [2]. The authors' code,
AdityaGolatkar/SelectiveForgetting@4c02825 [C], has exponent 1/2 with noise^2 = alpha in 1e-8..1e-5 and floor
1e-8, and around it what its paper's formula has not, nor this: variances capped at 1,000 alpha and averaged over
each weight's inputs, ten times as large on the last layer and on vectors, and, for a whole class, its
classifier row set to 0. There the inner expectation runs over all labels; here one label is drawn from the
original model's answer for each example, an unbiased estimate at a K-th of the cost.

Of documents F is that of their loss, the mean over n target tokens: the mean of the tokens' own information. A word is
drawn for each token after the true beginning; the squared gradient of the document's loss, times n, is then an unbiased
estimate, since scores of words that were drawn independently are uncorrelated and have mean 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.unlearn.base import Method, SearchRange, register, require

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


@register("fisher_forgetting")
@dataclass(frozen=True, kw_only=True)
class FisherForgetting(Method):
    """Gaussian noise scaled by the inverse fourth root of the retain set's Fisher information."""

    noise: float = 1e-4
    """Standard deviation of a weight whose Fisher information is 1."""
    floor: float = 1e-8
    """Added to the Fisher information: no weight gets a standard deviation above noise * floor^-exponent."""
    exponent: float = 0.25
    """Power of the inverse Fisher information: 1/4 in the paper, 1/2 in its authors' code."""

    version: ClassVar[int] = 2
    needs_retain: ClassVar[bool] = True
    passes: ClassVar[str] = "nr"
    paper: ClassVar[str] = "Golatkar et al. 2020, arXiv 1911.04933"
    search: ClassVar[Mapping[str, SearchRange]] = {"noise": ("loguniform", 1e-5, 1e-2)}

    def __post_init__(self) -> None:
        require(self.noise >= 0, "noise", "0 or more", self.noise)
        require(self.floor > 0, "floor", "a positive number", self.floor)
        require(self.exponent > 0, "exponent", "a positive number", self.exponent)

    def __call__(self, run: UnlearningRun) -> None:
        """Add the noise, on the layer scope alone."""
        import torch

        fisher = run.share("fisher_retain", lambda: model_fisher(run, run.retain))
        for name, parameter in run.trainable.items():
            deviation = self.noise * (fisher[name].to(run.device) + self.floor) ** -self.exponent
            normal = torch.randn(parameter.shape, generator=run.generator("fisher noise", name))
            parameter.data.add_(deviation * normal.to(run.device))


def model_fisher(run: UnlearningRun, subset: Subset) -> dict[str, Tensor]:
    """Diagonal Fisher information with targets from the original model, for every named parameter.

    The targets come from a stream of their own, equal for every run: the stage is shared.
    """
    import torch

    from tasks.runtime.seeding import torch_generator
    from tasks.training.gradients import mean_squared_gradients

    generator, targets = torch_generator("fisher labels"), subset.targets.clone()
    answers: list[Tensor] = []
    start = 0
    for batch in subset.batches(subset.data.most_scored(256)):
        outputs = run.teacher_outputs(run.original, batch.inputs)
        drawn = run.objective.sample(outputs, batch, generator)
        targets[start : start + len(drawn)][..., : drawn.shape[-1]] = drawn.to(targets)
        answers.append(run.objective.answers(batch))
        start += len(drawn)
    run.meter.samples += len(subset)
    # the square of a mean over n independent scores is an n-th of the mean of their squares
    return mean_squared_gradients(run.original, subset.with_targets(targets), weights=torch.cat(answers))
