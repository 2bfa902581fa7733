"""Negative preference optimisation (NPO), and its form without a reference (SimNPO).

    NPO      min over the layer scope of  -(2 / beta) E_{D_f} log sigma(beta (L(x) - L_o(x))) + w E_{D_r} l(x)
    SimNPO   min over the layer scope of  -c (2 / beta) E_{D_f} log sigma(beta (l(x) - delta)) + w E_{D_r} l(x)

L is the negative log-likelihood of an example's answer, summed over its tokens, L_o the original's, and l the same in
the mean over its tokens. Both weigh the ascent down once an example is
forgotten; NPO's sum saturates earlier on long documents.

Zhang et al., "Negative Preference Optimization", arXiv 2404.05868; Fan et al., "Simplicity Prevails", arXiv 2410.07163.
The public codes also hold another "NPO" (MUSE) on raw logits, which is no function of what the model says; not this.
One random batch of the retain set goes with each of the forget set, as in locuslab/open-unlearning@d3d7cf9.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.training.recipe import Optimizer
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@dataclass(frozen=True, kw_only=True)
class _Preference(Descent):
    """The fields and the loop that both forms share."""

    epochs: int = 10
    """Passes over the forget set."""
    batch_size: int = 32
    """Forget examples per step, and as many retained ones."""
    optimizer: Optimizer = "adamw"
    """sgd, adam or adamw."""
    lr: float = 1e-5
    """Learning rate; the published one is for models of billions of parameters, small ones need 1e-4 to 1e-3."""
    weight_decay: float = 0.01
    """Decoupled, on the layer scope alone."""
    retain_weight: float = 1.0
    """Weight w of the loss on the retain set; 0 does not read it."""

    objectives: ClassVar[frozenset[str]] = frozenset({"language"})
    needs_retain: ClassVar[bool] = True
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-5, 1e-2)}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.retain_weight >= 0, "retain_weight", "0 or more", self.retain_weight)

    def __call__(self, run: UnlearningRun) -> None:
        """Step on the forget and the retain loss at once."""
        optimizer = self.make_optimizer(run)
        keeping = run.cycle(run.retain, self.batch_size, "retain")
        for epoch in range(self.epochs):
            for batch in run.batches(run.forget, self.batch_size, "forget", epoch):
                loss = self.forget_losses(run, batch).mean()
                if self.retain_weight:
                    loss = loss + self.retain_weight * run.loss(next(keeping))
                run.step(optimizer, loss)
            run.end_epoch()

    @abstractmethod
    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """What is descended on of each forget example, `n`."""


@register("npo")
@dataclass(frozen=True, kw_only=True)
class NPO(_Preference):
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
        import torch.nn.functional as F

        answers = run.objective.answers(batch)
        original = run.losses(batch, run.teacher_outputs(run.original, batch.inputs))
        further = (run.losses(batch) - original) * answers
        return -2 / self.beta * F.logsigmoid(self.beta * further)


@register("simnpo")
@dataclass(frozen=True, kw_only=True)
class SimNPO(_Preference):
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
        import torch.nn.functional as F

        scale = -2 * self.forget_weight / self.beta
        return scale * F.logsigmoid(self.beta * (run.losses(batch) - self.delta))
