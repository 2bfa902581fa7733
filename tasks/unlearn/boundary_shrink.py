"""Boundary shrink (BS): give each forget example the label of the nearest class across the boundary.

    x' = clip(x + b sign(grad_x CE(f_o(x), y)))          (FGSM; or projected steps of it)
    y' = argmax f_o(x')
    min over the layer scope of  E_{D_f} CE(f(x), y')

Chen et al., "Boundary Unlearning", CVPR 2023, arXiv 2303.11570, section 4.1. The labels come from the fixed
original model, so they are computed once, on images without augmentation. Where the step crosses no boundary
y' = y and the example is not unlearned at all: the share of such examples is noted as `no_op_rate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@register("boundary_shrink")
@dataclass(frozen=True, kw_only=True)
class BoundaryShrink(Descent):
    """Fine-tune the forget set on the labels of its adversarial neighbours."""

    batch_size: int = 64
    """Examples per optimiser step."""
    lr: float = 1e-5
    """Learning rate of the paper's code."""
    weight_decay: float = 0.0
    """L2 coefficient, on the layer scope alone."""
    search_attack: Literal["fgsm", "pgd"] = "fgsm"
    """How the neighbour is found: one signed step, or five projected steps."""
    bound: float = 0.1
    """Linf radius b of the neighbour search, pixels in [0, 1]."""
    pgd_step: float = 8 / 255
    """Step of pgd; fgsm takes one step of `bound`."""
    pgd_iterations: int = 5
    """Steps of pgd."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})
    instead: ClassVar[str] = "undial, or random_tokens"
    needs_retain: ClassVar[bool] = False
    passes: ClassVar[str] = "E*nf + nf"
    paper: ClassVar[str] = "Chen et al. 2023, arXiv 2303.11570"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-6, 1e-4)}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.bound <= 1, "bound", "a number in (0, 1]", self.bound)
        require(0 < self.pgd_step <= 1, "pgd_step", "a number in (0, 1]", self.pgd_step)
        require(self.pgd_iterations >= 1, "pgd_iterations", "at least 1", self.pgd_iterations)

    def __call__(self, run: UnlearningRun) -> None:
        """Fit the labels across the boundary."""
        if not self.epochs:
            return
        labels = self.neighbour_labels(run)
        run.note("no_op_rate", float((labels == run.forget.targets).float().mean()))
        forget, optimizer = run.forget.with_targets(labels), self.make_optimizer(run)
        for epoch in range(self.epochs):
            self.descend(run, optimizer, run.batches(forget, self.batch_size, "forget", epoch))

    def neighbour_labels(self, run: UnlearningRun) -> Tensor:
        """The original model's labels of the adversarial neighbours, `nf`, int64."""
        import torch

        labels = [
            run.teacher_outputs(run.original, self.neighbours(run, batch)).argmax(dim=1)
            for batch in run.forget.batches(self.batch_size)
        ]
        return torch.cat(labels)

    def neighbours(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """Images across the boundary, `n x C x H x W` in [0, 1], within `bound` of the batch's."""
        from tasks.unlearn.parts.risk import input_gradients

        fgsm = self.search_attack == "fgsm"
        step, iterations = (self.bound, 1) if fgsm else (self.pgd_step, self.pgd_iterations)
        images = batch.inputs
        for _ in range(iterations):
            gradient, _ = input_gradients(run, run.original, batch._replace(inputs=images))
            images = images + step * gradient.sign()
            images = images.clamp(batch.inputs - self.bound, batch.inputs + self.bound).clamp(0, 1)
        return images
