"""A data set made of nothing: class prototypes plus noise, for tests and for trying a configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np

from tasks.datasets.base import DataSource, Labels, register
from tasks.errors import AuditError
from tasks.runtime.seeding import numpy_generator

_COARSE_SIDE = 4


@register("synthetic")
@dataclass(frozen=True, kw_only=True)
class Synthetic(DataSource):
    """Balanced classes; each image is its class's coarse random pattern plus Gaussian pixel noise, uint8."""

    embedded = True

    num_train: int = 1000
    """Training examples."""
    num_test: int = 200
    """Examples of the test part; 0 leaves the test split to the fractions."""
    num_classes: int = 10
    """Classes, at least 2."""
    channels: int = 3
    """Colour channels of an image."""
    height: int = 8
    """Pixels from top to bottom."""
    width: int = 8
    """Pixels from left to right."""
    noise: float = 0.1
    """Standard deviation of the pixel noise, in units of pixels in [0, 1]."""
    seed: int = 0
    """Of prototypes, labels and noise."""

    def __post_init__(self) -> None:
        smallest = {"num_train": 1, "num_test": 0, "num_classes": 2, "channels": 1, "height": 1, "width": 1}
        for name, least in smallest.items():
            if getattr(self, name) < least:
                raise AuditError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if self.num_classes > self.num_train:
            raise AuditError(f"num_classes: expected at most num_train = {self.num_train}")
        if self.noise < 0:
            raise AuditError(f"noise: expected 0 or more, got {self.noise}")

    def digest(self) -> str:
        """SHA-256 of the parameters, which determine every pixel."""
        return hashlib.sha256(json.dumps(["synthetic", asdict(self)], sort_keys=True).encode()).hexdigest()

    def read_labels(self) -> Labels:
        """Shuffled labels, each part balanced to within one example."""
        parts = [
            numpy_generator("synthetic", "labels", self.seed, part).permutation(
                np.arange(size) % self.num_classes
            )
            for part, size in (("train", self.num_train), ("test", self.num_test))
        ]
        return Labels(
            labels=np.concatenate(parts).astype(np.int64),
            is_test=np.repeat(np.array([False, True]), (self.num_train, self.num_test)),
            class_names=tuple(f"class{k}" for k in range(self.num_classes)),
            image_shape=(self.channels, self.height, self.width),
        )

    def read_images(self) -> np.ndarray:
        """`N x C x H x W`, uint8."""
        labels = self.read_labels().labels
        generator = numpy_generator("synthetic", "noise", self.seed)
        shape = (len(labels), self.channels, self.height, self.width)
        pixels = generator.standard_normal(shape, dtype=np.float32)
        pixels *= np.float32(self.noise)
        pixels += self._prototypes()[labels]
        return np.rint(np.clip(pixels, 0, 1) * np.float32(255)).astype(np.uint8)

    def _prototypes(self) -> np.ndarray:
        """`K x C x H x W`, float32 in [0, 1]: blocks of one value, so that convolutions see them too."""
        rows, columns = min(_COARSE_SIDE, self.height), min(_COARSE_SIDE, self.width)
        generator = numpy_generator("synthetic", "prototypes", self.seed)
        coarse = generator.random((self.num_classes, self.channels, rows, columns), dtype=np.float32)
        row = np.arange(self.height) * rows // self.height
        column = np.arange(self.width) * columns // self.width
        return coarse[:, :, row[:, None], column[None, :]]
