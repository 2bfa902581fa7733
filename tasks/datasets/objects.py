"""Data set objects of other packages, such as torchvision's: anything with a length that gives (image, label) pairs.

A plug-in says how to open them:

    @register("my_fashion")
    @dataclass(frozen=True, kw_only=True)
    class Fashion(ObjectDataset):
        root: str = "data"

        def open(self, part):
            return torchvision.datasets.FashionMNIST(self.root, train=part == "train")
"""

from __future__ import annotations

import functools
import hashlib
from abc import abstractmethod
from collections.abc import Sized
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from tasks.datasets.base import DataSource, Labels
from tasks.datasets.class_numbers import class_numbers, require_test
from tasks.errors import AuditError

Part = Literal["train", "test"]
_CHANNELS = (1, 3)


class Pairs(Sized, Protocol):
    """What is read: `len(pairs)`, and `pairs[i]`, an image and its label."""

    def __getitem__(self, index: int, /) -> Any:
        """Image and label: of Pillow, or an array or tensor `H x W`, `H x W x C` or `C x H x W`, bytes or in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class ObjectDataset(DataSource):
    """Examples of an object for each part. Example ids are places: in the training part, then in the test part.

    Everything is read once, whole, and kept while the process lives: the digest is that of the examples. Images are of
    one size, and the same whenever they are asked for: Lethe augments by itself.
    """

    @abstractmethod
    def open(self, part: Part) -> Pairs | None:
        """The object of a part; None where there is no test part. Labels are whole numbers from 0 or names of classes.

        An attribute `classes`, as torchvision's objects have it, names the classes.
        """

    def digest(self) -> str:
        """SHA-256 of all images and labels."""
        images, labels = _read(self)
        sha = hashlib.sha256(f"{images.dtype} {images.shape} {labels.class_names}\n".encode())
        sha.update(images.tobytes() + labels.labels.tobytes() + labels.is_test.tobytes())
        return sha.hexdigest()

    def read_labels(self) -> Labels:
        """Labels of both parts."""
        return _read(self)[1]

    def read_images(self) -> np.ndarray:
        """`N x C x H x W`, uint8 or float32 in [0, 1]."""
        return _read(self)[0]


@functools.lru_cache(maxsize=2)
def _read(source: ObjectDataset) -> tuple[np.ndarray, Labels]:
    name = f"{type(source).__name__}.open"
    images: list[np.ndarray] = []
    parts: list[tuple[str, np.ndarray]] = []
    names: tuple[str, ...] = ()
    for part in ("train", "test"):
        pairs = source.open(part)
        if pairs is None and part == "test":
            break
        where = f'{name}("{part}")'
        found, labels = _examples(pairs, where)
        images += found
        parts.append((f"{where}: labels", labels))
        names = names or _names(pairs, labels)
    shapes = {(image.shape, image.dtype.name) for image in images}
    if len(shapes) > 1:
        told = " and ".join(f"{kind} {shape}" for shape, kind in sorted(shapes)[:2])
        raise AuditError(
            f"{name}: expected images of one size and type, got {told}; give the object a transform"
        )
    numbers, names = class_numbers(parts, names)
    made = np.stack(images)
    is_test = np.repeat(np.array([False, True]), [len(numbers[0]), sum(map(len, numbers[1:]))])
    require_test(is_test, given=len(numbers) > 1, where=name)
    return made, Labels(
        labels=np.concatenate(numbers),
        is_test=is_test,
        class_names=names,
        image_shape=made.shape[1:],
    )


def _names(pairs: Any, labels: np.ndarray) -> tuple[str, ...]:
    classes = getattr(pairs, "classes", None)
    if isinstance(classes, (list, tuple)) and all(isinstance(one, str) for one in classes):
        return tuple(classes)
    return ()


def _examples(pairs: Any, where: str) -> tuple[list[np.ndarray], np.ndarray]:
    if not (hasattr(pairs, "__len__") and hasattr(pairs, "__getitem__")):
        raise AuditError(f"{where}: expected an object with a length and items, got {type(pairs).__name__}")
    if not len(pairs):
        raise AuditError(f"{where}: expected examples, got none")
    read = [_pair(pairs[place], f"{where}[{place}]") for place in range(len(pairs))]
    again, _ = _pair(pairs[0], f"{where}[0]")
    if not np.array_equal(again, read[0][0]):
        raise AuditError(
            f"{where}: expected the same image whenever it is asked for, got two: leave random transforms out, as "
            "[training] augmentation does what they do"
        )
    return [image for image, _ in read], np.array([label for _, label in read])


def _pair(item: Any, where: str) -> tuple[np.ndarray, Any]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise AuditError(f"{where}: expected an image and a label, got {type(item).__name__}")
    image, label = item
    return _channels_first(np.asarray(image), where), label.item() if hasattr(label, "item") else label


def _channels_first(image: np.ndarray, where: str) -> np.ndarray:
    if image.dtype == np.float64:
        image = image.astype(np.float32)
    if image.ndim == 2:
        return image[None]
    axes = [axis for axis in (0, 2) if image.ndim == 3 and image.shape[axis] in _CHANNELS]
    if len(axes) != 1:
        raise AuditError(
            f"{where}: expected an image of 1 or 3 channels, first or last, got {image.dtype} of shape {image.shape}"
        )
    return image if axes[0] == 0 else np.ascontiguousarray(image.transpose(2, 0, 1))
