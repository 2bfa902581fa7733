"""A data set in one NumPy .npz file: no pickled objects, labels read without the pixels."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tasks.datasets.archive import file_digest
from tasks.datasets.arrays import npz_names, npz_shape, read_npz
from tasks.datasets.base import DataSource, Labels, register
from tasks.datasets.class_numbers import class_numbers, require_test
from tasks.errors import AuditError

_CHANNELS = (1, 3, 4)
Order = Literal["auto", "nchw", "nhwc"]


@register("npz")
@dataclass(frozen=True, kw_only=True)
class Npz(DataSource):
    """Arrays x_train, y_train, x_test, y_test; or images, labels and optionally is_test.

    Images are uint8 or floats in [0, 1], `N x C x H x W`, `N x H x W x C` or `N x H x W`; labels are whole numbers
    from 0, or names of classes, which are numbered in alphabetical order. An optional array class_names holds text.
    Example ids are rows: of x_train, then of x_test; or of
    images, whatever is_test says.
    """

    path: str
    """The .npz file."""
    order: Order = "auto"
    """Where the channels are; auto takes the one axis that has 1, 3 or 4 entries."""

    def digest(self) -> str:
        """SHA-256 of the file and of the order of its axes."""
        return hashlib.sha256(f"{file_digest(self._file())} {self.order}".encode()).hexdigest()

    def read_labels(self) -> Labels:
        """Labels, and the shape of the images from their header alone."""
        keys = self._keys()
        parts = [(key, self._column(key, images=of)) for key, of in self._pairs().items()]
        with self._saying():
            numbers, names = class_numbers(parts, self._class_names() if "class_names" in keys else ())
        labels = np.concatenate(numbers)
        if len(parts) == 2:
            is_test = np.repeat(np.array([False, True]), [len(part) for part in numbers])
        else:
            is_test = self._flags(len(labels)) if "is_test" in keys else np.zeros(len(labels), dtype=bool)
        require_test(is_test, given=len(parts) == 2, where=self.path)
        shapes = {self._image_shape(key) for key in self._pairs().values()}
        if len(shapes) > 1:
            raise AuditError(f"{self.path}: train and test images differ in shape: {sorted(shapes)}")
        return Labels(
            labels=labels,
            is_test=is_test,
            class_names=names,
            image_shape=shapes.pop(),
        )

    def read_images(self) -> np.ndarray:
        """`N x C x H x W`, uint8 or float32 in [0, 1]; x_test follows x_train."""
        images = np.concatenate([self._channels_first(key) for key in self._pairs().values()])
        if images.dtype == np.uint8:
            return images
        if images.dtype.kind != "f":
            raise AuditError(
                f"{self.path}: images: expected uint8 or floats in [0, 1], got {images.dtype}{_remedy(images)}"
            )
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise AuditError(
                f"{self.path}: images: expected floats in [0, 1], got {low:g} to {high:g}{_remedy(images)}"
            )
        return images.astype(np.float32, copy=False)

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except AuditError as error:
            raise type(error)(f"{self.path}: {error}") from None

    def _file(self) -> Path:
        path = Path(os.path.expanduser(self.path))
        if not path.is_file():
            raise AuditError(f"path: no file {path}")
        if not zipfile.is_zipfile(path):
            raise AuditError(f"{path}: expected a .npz file (a zip of arrays); {path.stat().st_size} bytes")
        return path

    def _keys(self) -> set[str]:
        keys = set(npz_names(self._file()))
        for wanted in ({"x_train", "y_train", "x_test", "y_test"}, {"images", "labels"}):
            if wanted <= keys:
                return keys
        raise AuditError(
            f"{self.path}: expected x_train, y_train, x_test, y_test or images, labels[, is_test]; "
            f"found {', '.join(sorted(keys)[:20]) or 'nothing'}"
        )

    def _pairs(self) -> dict[str, str]:
        """Arrays of images by the array of their labels, in canonical order."""
        split = "x_train" in self._keys()
        return {"y_train": "x_train", "y_test": "x_test"} if split else {"labels": "images"}

    def _column(self, key: str, *, images: str) -> np.ndarray:
        values, count = read_npz(self._file(), key), npz_shape(self._file(), images)[:1]
        if values.shape[:1] != count:
            raise AuditError(
                f"{self.path}: {key}: expected {', '.join(map(str, count))} labels as there are {images}, "
                f"got {values.dtype} {values.shape}"
            )
        return values

    def _flags(self, count: int) -> np.ndarray:
        flags = read_npz(self._file(), "is_test")
        if flags.shape != (count,) or flags.dtype != np.bool_:
            raise AuditError(f"{self.path}: is_test: expected {count} bool, got {flags.dtype} {flags.shape}")
        return flags

    def _class_names(self) -> tuple[str, ...]:
        return tuple(map(str, read_npz(self._file(), "class_names").ravel()))

    def _channel_axis(self, key: str) -> int:
        shape = npz_shape(self._file(), key)
        if len(shape) == 3:
            return 0
        if len(shape) != 4:
            raise AuditError(f"{self.path}: {key}: expected 3 or 4 axes, got shape {shape}")
        axes = [axis for axis in (1, 3) if shape[axis] in _CHANNELS]
        if self.order != "auto":
            return 1 if self.order == "nchw" else 3
        if len(axes) != 1:
            raise AuditError(f"{self.path}: {key}: cannot tell the channels of shape {shape}; set order")
        return axes[0]

    def _image_shape(self, key: str) -> tuple[int, int, int]:
        shape, axis = npz_shape(self._file(), key), self._channel_axis(key)
        if axis == 0:
            return (1, shape[1], shape[2])
        return (shape[1], shape[2], shape[3]) if axis == 1 else (shape[3], shape[1], shape[2])

    def _channels_first(self, key: str) -> np.ndarray:
        images, axis = read_npz(self._file(), key), self._channel_axis(key)
        if axis == 0:
            return images[:, None]
        return images if axis == 1 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _remedy(images: np.ndarray) -> str:
    """What makes such numbers pixels, where their range says it."""
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 65535):  # nor is NaN
        return ""
    if high <= 255:
        return "; x.astype(np.uint8) makes bytes of 0 to 255" if high > 1 else "; x.astype(np.float32)"
    return "; (x // 257).astype(np.uint8) makes bytes of 0 to 65535"
