"""Augmentation of whole batches on their device, drawn from an explicit generator."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

AugmentationName = Literal["none", "shift", "crop_flip"]


class Moves(NamedTuple):
    """What happens to each of `n` examples; None where nothing does."""

    shifts: Tensor | None
    """`2 x n`, int64: first row and column of the window in the padded image."""
    mirrored: Tensor | None
    """`n`, bool."""

    def to(self, device: torch.device) -> Moves:
        """The same on a device, which each copy makes the host wait for."""
        return Moves(*(None if part is None else part.to(device) for part in self))

    def split(self, lengths: Sequence[int]) -> Iterator[Moves]:
        """Those of batches of these lengths."""
        parts = [[None] * len(lengths) if part is None else part.split(lengths, dim=-1) for part in self]
        return itertools.starmap(Moves, zip(*parts, strict=True))


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random translation by up to `padding` pixels (zero fill), and a random mirror image.

    Each example of the batch is moved on its own.
    """

    padding: int
    flip: bool

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment `n x C x H x W` images; `generator` is a CPU generator."""
        return self.apply(images, self.draw([len(images)], generator).to(images.device))

    def draw(self, lengths: Sequence[int], generator: torch.Generator) -> Moves:
        """Random moves of all examples of some batches, on the CPU, drawn batch by batch.

        Drawn ahead for a whole pass, they reach the device in one copy and not in one for each batch.
        """
        span = 2 * self.padding + 1
        shifts, mirrored = [], []
        for count in lengths:
            if self.padding:
                shifts.append(torch.randint(span, (2, count), generator=generator))
            if self.flip:
                mirrored.append(torch.rand(count, generator=generator) < 0.5)
        return Moves(torch.cat(shifts, dim=1) if shifts else None, torch.cat(mirrored) if mirrored else None)

    def apply(self, images: Tensor, moves: Moves) -> Tensor:
        """Move `n x C x H x W` images; the moves are on their device."""
        n, channels, height, width = images.shape
        device = images.device
        rows = torch.arange(height, device=device).expand(n, height)
        columns = torch.arange(width, device=device).expand(n, width)
        if moves.mirrored is not None:
            columns = torch.where(moves.mirrored[:, None], columns.flip(1), columns)
        if moves.shifts is not None:
            shifts = moves.shifts[:, :, None]
            images = F.pad(images, (self.padding,) * 4)
            rows, columns = rows + shifts[0], columns + shifts[1]
        # One gather for the move and the mirror image, over flat pixels: several times faster than
        # indexing rows and columns.
        source = (rows[:, :, None] * images.shape[3] + columns[:, None, :]).flatten(1)[:, None]
        return images.flatten(2).gather(2, source.expand(-1, channels, -1)).view(n, channels, height, width)


def interleave(moves: Sequence[Moves]) -> Moves:
    """Moves of `n` examples of each of `K` models as those of one batch: example `i` of model `k` at `i * K + k`."""
    shifts = [m.shifts for m in moves if m.shifts is not None]
    mirrored = [m.mirrored for m in moves if m.mirrored is not None]
    return Moves(
        torch.stack(shifts, dim=2).flatten(1) if shifts else None,
        torch.stack(mirrored, dim=1).flatten() if mirrored else None,
    )


def augmentation(name: AugmentationName, image_size: int) -> Augmentation | None:
    """The augmentation of that name: `crop_flip` is the CIFAR standard (padding one eighth of the side)."""
    if name == "none":
        return None
    return Augmentation(padding=max(1, image_size // 8), flip=name == "crop_flip")
