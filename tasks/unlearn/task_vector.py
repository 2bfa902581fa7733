"""Task vector: learn the forget set by heart, and go the same way backwards.

    theta_r = theta_o fine-tuned on D_f, over the layer scope;   theta = theta_o - alpha (theta_r - theta_o)

Ilharco et al., "Editing Models with Task Arithmetic", arXiv 2212.04089; for language models Shi et al., "MUSE", arXiv
2407.06460, whose code fine-tunes for 10 epochs and takes alpha = 1, and 5 for news.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.training.recipe import Optimizer
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from tasks.unlearn.run import UnlearningRun


@register("task_vector")
@dataclass(frozen=True, kw_only=True)
class TaskVector(Descent):
    """Subtract what fine-tuning on the forget set adds to the weights in scope."""

    batch_size: int = 32
    """Forget examples per step."""
    optimizer: Optimizer = "adamw"
    """sgd, adam or adamw."""
    lr: float = 1e-5
    """Learning rate; the published one is for models of billions of parameters, small ones need 1e-4 to 1e-3."""
    weight_decay: float = 0.01
    """Decoupled, on the layer scope alone."""
    alpha: float = 1.0
    """How far back, in lengths of the way that fine-tuning went."""

    objectives: ClassVar[frozenset[str]] = frozenset({"language"})
    instead: ClassVar[str] = "gradient_ascent"
    needs_retain: ClassVar[bool] = False
    passes: ClassVar[str] = "E*nf"
    paper: ClassVar[str] = "Ilharco et al. 2023, arXiv 2212.04089; Shi et al. 2024, arXiv 2407.06460"
    search: ClassVar[Mapping[str, SearchRange]] = {
        "lr": ("loguniform", 1e-5, 1e-2),
        "alpha": ("loguniform", 0.1, 10.0),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha > 0, "alpha", "a positive number", self.alpha)

    def __call__(self, run: UnlearningRun) -> None:
        """Fine-tune on the forget set, then subtract; no model on the way is an unlearned one, so one epoch is told."""
        import torch

        start = {name: p.detach().clone() for name, p in run.trainable.items()}
        optimizer = self.make_optimizer(run)
        for epoch in range(self.epochs):
            for batch in run.batches(run.forget, self.batch_size, "forget", epoch):
                run.step(optimizer, run.loss(batch))
        with torch.no_grad():
            for name, parameter in run.trainable.items():
                parameter.copy_(start[name] - self.alpha * (parameter - start[name]))
        run.end_epoch()
