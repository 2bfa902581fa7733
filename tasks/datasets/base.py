"""What a data source gives: labels cheaply for the plan, images for the run. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tasks.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Everything about a data set but the pixels; enough to plan."""

    labels: np.ndarray
    """`N`, int64, in canonical order: the source's training examples, then its test examples."""
    is_test: np.ndarray
    """`N`, bool: the source's own test part; all False where it has none."""
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    """Channels, height, width."""
    coarse_labels: np.ndarray | None = None
    """`N`, int64: super-classes where the source has them (CIFAR-100)."""
    coarse_names: tuple[str, ...] = ()
    fine_labels: np.ndarray | None = None
    """`N`, int64: the classes below `labels`, where the model learns super-classes (sub-class forgetting)."""
    fine_names: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


class DataSource(Protocol):
    """A frozen dataclass whose fields say where and how to read."""

    def digest(self) -> str:
        """Hexadecimal digest of the content: equal content, equal digest, on any machine."""
        ...

    def read_labels(self) -> Labels:
        """Labels and shape, without decoding images where the format allows it."""
        ...

    def read_images(self) -> np.ndarray:
        """`N x C x H x W` in canonical order, uint8 (0..255) or float32 in [0, 1]."""
        ...


datasets: Registry[DataSource] = Registry("data set", package="tasks.datasets", group="lethe.datasets")
register = datasets.register
