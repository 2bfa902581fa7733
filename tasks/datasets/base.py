"""What a data source gives: labels cheaply for the plan, images for the run. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

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


class DataSource(ABC):
    """A frozen dataclass whose fields say where and how to read."""

    version: ClassVar[int] = 1
    """Raised whenever what is read from the same files changes."""
    decodes: ClassVar[bool] = False
    """Whether images are decoded from files one by one, so that reading all of them takes time."""

    embedded: ClassVar[bool] = False
    """Whether the data ship with a package or are made of nothing, so that anybody may see examples of them."""

    @abstractmethod
    def digest(self) -> str:
        """Hexadecimal digest of the content: equal content, equal digest, on any machine."""
        raise NotImplementedError

    @abstractmethod
    def read_labels(self) -> Labels:
        """Labels and shape, without decoding images where the format allows it."""
        raise NotImplementedError

    @abstractmethod
    def read_images(self) -> np.ndarray:
        """`N x C x H x W` in canonical order, uint8 (0..255) or float32 in [0, 1]."""
        raise NotImplementedError

    def content_hashes(self) -> np.ndarray | None:
        """Content hash of each example, `N x 32`, uint8, without holding all images; None: no such way."""
        return None

    def read_file(self, path: Path) -> np.ndarray:
        """One image file as this data set would hold it, `C x H x W`; asked only of a source that `decodes`."""
        raise NotImplementedError


datasets: Registry[DataSource] = Registry(
    "data set",
    contract=DataSource,  # type: ignore[type-abstract]
    package="tasks.datasets",
    group="lethe.datasets",
)
register = datasets.register
