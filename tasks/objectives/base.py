"""What an example's loss, divergence, relabelling and statistics are: the one seam between kinds of data.

Training, unlearning, gradients and scoring call an objective; which one is said by the resident data. Imports no
torch: the contract of a method names it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Batch(NamedTuple):
    """What a model sees of `n` examples, what it should answer, and which examples they are."""

    inputs: Tensor
    """First axis `n`; of images `n x C x H x W`, float32 in [0, 1]; of documents `n x T` ids, int64."""
    targets: Tensor
    """First axis `n`; of images `n` class numbers, int64; of documents `n x T`, the id after each, -1 where none is
    asked for."""
    ids: Tensor
    """`n`, int64: rows of the resident data."""


class Objective(ABC):
    """How a model's outputs on a batch are judged. Frozen and without state; every method is by example."""

    name: ClassVar[str]
    """By which methods, attacks and kinds of forget sets declare what they are for (`objectives`)."""
    keeps_outputs: ClassVar[bool] = True
    """Whether scoring keeps the outputs on each example; not where they are as large as a text times its vocabulary."""

    @abstractmethod
    def losses(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Loss of each example, `n`, with gradients; it depends on no other example of the batch.

        Args:
            outputs: of the model on `batch.inputs`.
            batch: `n` examples.
            smoothing: share of each target that is spread evenly over all answers.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Mean of the losses, a number with gradients: in one kernel, whose rounding is that of training."""

    @abstractmethod
    def confidence(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Probability that the model gives each example's true answer, `n`; of several answers their geometric mean."""

    def answers(self, batch: Batch) -> Tensor:
        """Of how many answers each loss is the mean, `n`, float32: one of an image, a document's target tokens."""
        return batch.targets.new_ones(len(batch.targets)).float()

    @abstractmethod
    def divergence(self, student: Tensor, teacher: Tensor, batch: Batch, temperature: float = 1.0) -> Tensor:
        """KL(softmax(teacher / T) || softmax(student / T)) of each example, `n`, with gradients.

        Without a factor T^2: who wants gradients of one size for all temperatures multiplies by it.

        Args:
            student: outputs on `batch.inputs`.
            teacher: outputs on the same inputs, of what is to be imitated.
            batch: tells which answers count.
            temperature: T of both.
        """

    @abstractmethod
    def relabel(
        self,
        targets: Tensor,
        generator: torch.Generator,
        *,
        exclude_true: bool = True,
        excluded: Tensor | None = None,
    ) -> Tensor:
        """Random targets in place of the true ones, of their shape, type and device.

        Args:
            targets: the true ones.
            generator: a CPU generator.
            exclude_true: never draw an example's own target.
            excluded: further answers that are never drawn.

        Raises:
            AuditError: nothing is left to draw.
        """

    @abstractmethod
    def sample(self, outputs: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        """Targets drawn from the model's own answers where something is asked for, each by itself, shaped as the
        batch's, int64, on the CPU; `generator` is a CPU generator."""

    @abstractmethod
    def statistics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What membership attacks and metrics read of each example, by name, on the CPU; finite where outputs are.

        `loss` and `phi`, the logit-scaled confidence log(p / (1 - p)) of LiRA (Carlini et al., 2112.03570,
        section VI), `n`, float64; `correct`, `n`, bool; and what else the objective knows.
        """
