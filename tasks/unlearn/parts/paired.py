"""A forget and a retain loss in one step: the fields and the loop of methods that are made for language models.

    min over the layer scope of  E_{D_f} forget loss + w E_{D_r} retain loss

An epoch passes over the forget set; one random batch of the retain set goes with each of its batches, as in
locuslab/open-unlearning@d3d7cf9, whose settings are the defaults. Both losses are means over documents of what each
document's own target tokens give, so that none weighs more for being long or depends on its batch; that code takes the
mean over all tokens of a batch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.training.recipe import Optimizer
from tasks.unlearn.base import SearchRange, require
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.objectives.base import Batch
    from tasks.unlearn.run import UnlearningRun


@dataclass(frozen=True, kw_only=True)
class Paired(Descent):
    """Says what is descended on of forget documents, and how retained ones are kept: by their loss, unless told."""

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
    instead: ClassVar[str] = "neggrad_plus"
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
            for losses in self.forgetting(run, epoch):
                loss = losses.mean()
                if self.retain_weight:
                    loss = loss + self.retain_weight * self.retain_loss(run, next(keeping))
                run.step(optimizer, loss)
            run.end_epoch()

    @abstractmethod
    def forgetting(self, run: UnlearningRun, epoch: int) -> Iterator[Tensor]:
        """What is descended on of the forget examples of each batch, `n`, each computed when it is asked for."""

    def retain_loss(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """What is descended on of a batch of retained examples, a number."""
        return run.loss(batch)


@dataclass(frozen=True, kw_only=True)
class PairedLosses(Paired):
    """Of methods whose forget loss is a function of a batch of the forget set."""

    def forgetting(self, run: UnlearningRun, epoch: int) -> Iterator[Tensor]:
        """The losses of each batch."""
        for batch in run.batches(run.forget, self.batch_size, "forget", epoch):
            yield self.forget_losses(run, batch)

    @abstractmethod
    def forget_losses(self, run: UnlearningRun, batch: Batch) -> Tensor:
        """What is descended on of each forget example, `n`."""
