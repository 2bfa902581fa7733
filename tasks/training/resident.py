"""Examples held on the device for the whole run: index batches, no loader, no per-example transform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from tasks.errors import AuditError
from tasks.images import augment
from tasks.images.augment import Augmentation, AugmentationName
from tasks.objectives.base import Batch, Objective
from tasks.objectives.classify import Classify


class Resident(ABC):
    """The whole data set on one device; `example_id` is the row."""

    again: Callable[[], Resident] | None
    """Makes the same examples anew, should somebody write into these."""

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """What models of this data are trained for."""

    @property
    @abstractmethod
    def held(self) -> tuple[Tensor, ...]:
        """The tensors that all stages share, `N` first."""

    @property
    def device(self) -> torch.device:
        """Where the examples live."""
        return self.held[0].device

    @property
    def nbytes(self) -> int:
        """Device bytes that the examples take."""
        return sum(tensor.nbytes for tensor in self.held)

    @contextmanager
    def unchanged(self, *, by: str) -> Iterator[None]:
        """Refuse a block that writes into the examples, and put them right: every later stage reads them.

        Args:
            by: what the block runs, for the message.

        Raises:
            AuditError: the block wrote into what is shared.
        """
        before, changed = [tensor._version for tensor in self.held], False
        try:
            yield
        finally:
            changed = [tensor._version for tensor in self.held] != before
            if changed and self.again is not None:
                for tensor, fresh in zip(self.held, self.again().held, strict=True):
                    tensor.copy_(fresh)
        if changed:
            raise AuditError(
                f"{by} wrote into the {self.called} that all stages share; expected them untouched: change a copy"
            )

    called: ClassVar[str]
    """What examples are called in messages."""

    @abstractmethod
    def subset(self, ids: np.ndarray) -> Subset:
        """A view of the given example ids, in the given order."""

    @abstractmethod
    def batches(self, subset: Subset, rows: Sequence[Tensor]) -> Iterator[Batch]:
        """Batches of a selection of these examples, each of the given rows (positions in it)."""

    @abstractmethod
    def plain(self, subset: Subset) -> dict[str, np.ndarray]:
        """A selection as arrays by name, for a file that needs nothing of Lethe to be read: `ids` (`n`, int64), ..."""

    @abstractmethod
    def augmentation(self, name: AugmentationName) -> Augmentation | None:
        """The augmentation of a recipe for these examples; None: none."""

    def made_by(self, make: Callable[[], Resident]) -> Self:
        """The same examples, with a way of making them anew."""
        return replace(self, again=make)  # type: ignore[type-var]

    def shuffled(
        self, subset: Subset, lengths: Sequence[int], generator: torch.Generator
    ) -> Sequence[Tensor]:
        """Rows (positions in a selection) of the batches of one shuffled pass.

        Args:
            subset: the selection.
            lengths: of the batches, which hold each of its rows once.
            generator: CPU generator; the host sends what it draws.
        """
        return torch.randperm(len(subset), generator=generator).to(subset.ids.device).split(list(lengths))

    def scored(self, subset: Subset, batch_size: int) -> Sequence[Tensor]:
        """Rows of the forward passes of scoring, `batch_size` at most in each; in whichever order is fastest."""
        return torch.arange(len(subset), device=subset.ids.device).split(batch_size)

    def most_scored(self, batch_size: int) -> int:
        """Examples of one forward pass that keeps their order, of `batch_size` that are asked for."""
        return batch_size


@dataclass(frozen=True)
class ResidentData(Resident):
    """Images and their classes."""

    images: Tensor
    """`N x C x H x W`, uint8 (0..255) or float32 in [0, 1]."""
    labels: Tensor
    """`N`, int64."""
    num_classes: int
    again: Callable[[], Resident] | None = field(default=None, compare=False)

    called: ClassVar[str] = "images or labels"

    @classmethod
    def put(
        cls, images: np.ndarray, labels: np.ndarray, num_classes: int, device: torch.device
    ) -> ResidentData:
        """Copy host arrays to the device once."""
        return cls(
            images=torch.from_numpy(np.array(images)).to(device),
            labels=torch.from_numpy(np.array(labels, dtype=np.int64)).to(device),
            num_classes=num_classes,
        )

    @property
    def objective(self) -> Classify:
        """Classification."""
        return Classify(self.num_classes)

    @property
    def held(self) -> tuple[Tensor, ...]:
        """Images and labels."""
        return self.images, self.labels

    def subset(self, ids: np.ndarray) -> Subset:
        """A view of the given example ids, in the given order."""
        index = torch.from_numpy(np.array(ids, dtype=np.int64)).to(self.device)
        return Subset(data=self, ids=index, targets=self.labels[index])

    def inputs(self, ids: Tensor) -> Tensor:
        """Images of `ids` as float32 in [0, 1]."""
        images = self.images[ids]
        return images.float().div_(255) if images.dtype == torch.uint8 else images

    def batches(self, subset: Subset, rows: Sequence[Tensor]) -> Iterator[Batch]:
        """Images in [0, 1] and the classes that the selection carries."""
        for chosen in rows:
            ids = subset.ids[chosen]
            yield Batch(self.inputs(ids), subset.targets[chosen], ids)

    def plain(self, subset: Subset) -> dict[str, np.ndarray]:
        """`ids`, `images` (`n x C x H x W`, uint8 0..255 or float32 in [0, 1], as held) and `labels` (`n`, int64)."""
        return {
            "ids": subset.ids.cpu().numpy(),
            "images": self.images[subset.ids].cpu().numpy(),
            "labels": subset.targets.cpu().numpy(),
        }

    def augmentation(self, name: AugmentationName) -> Augmentation | None:
        """The augmentation of a recipe for images of this size."""
        return augment.augmentation(name, self.images.shape[-1])


def images_of(data: Resident) -> ResidentData:
    """The same, for code of images alone.

    Raises:
        AuditError: these are no images.
    """
    if not isinstance(data, ResidentData):
        raise AuditError(f"expected images, got {data.called}")
    return data


@dataclass(frozen=True)
class Subset:
    """An ordered selection of resident examples, with the targets that training should see."""

    data: Resident
    ids: Tensor
    targets: Tensor
    """Of classes `n`; of documents `n x T`, where T is that of the longest document of all."""

    def __len__(self) -> int:
        return len(self.ids)

    def with_targets(self, targets: Tensor) -> Subset:
        """The same examples under other targets (random relabelling, boundary shrink, poison)."""
        return replace(self, targets=targets)

    def at(self, rows: Tensor) -> Subset:
        """The rows (positions, not ids) of this selection."""
        return replace(self, ids=self.ids[rows], targets=self.targets[rows])

    def batch(self, rows: Tensor) -> Batch:
        """One batch of the given rows (positions in this subset)."""
        (batch,) = self.data.batches(self, [rows])
        return batch

    def batches(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        augmentation: Augmentation | None = None,
    ) -> Iterator[Batch]:
        """One pass in batches; the last may be short, but one example left over joins the batch before it.

        BatchNorm has no statistics of a single example. Order and augmentation are drawn when the pass begins,
        and reach the device then.

        Args:
            batch_size: examples per batch.
            generator: CPU generator that shuffles (and augments); None keeps the order.
            augmentation: applied to each batch of a shuffled pass; needs `generator`.
        """
        lengths = batch_lengths(len(self), batch_size)
        if generator is None:
            yield from self.data.batches(self, torch.arange(len(self), device=self.ids.device).split(lengths))
            return
        order = self.data.shuffled(self, lengths, generator)
        if augmentation is None:
            yield from self.data.batches(self, order)
            return
        moves = augmentation.draw(lengths, generator).to(self.ids.device)
        for batch, moved in zip(self.data.batches(self, order), moves.split(lengths), strict=True):
            yield batch._replace(inputs=augmentation.apply(batch.inputs, moved))


def batch_lengths(count: int, batch_size: int) -> list[int]:
    """Lengths of the batches of one pass over `count` examples."""
    lengths = [min(batch_size, count - start) for start in range(0, count, batch_size)]
    if len(lengths) > 1 and lengths[-1] == 1 < batch_size:
        lengths[-2:] = [batch_size + 1]
    return lengths


def concatenate(first: Subset, second: Subset) -> Subset:
    """Both selections, one after the other, with the targets each carries."""
    return Subset(
        data=first.data,
        ids=torch.cat([first.ids, second.ids]),
        targets=torch.cat([first.targets, second.targets]),
    )
