"""Data sets that are directories of images: Tiny ImageNet, ImageNet, and a user's own folders."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks.datasets.base import DataSource, Labels, register
from tasks.datasets.images import (
    Geometry,
    Listing,
    class_folders,
    decode,
    listing,
    loose_files,
    visible_files,
)
from tasks.errors import AuditError


@dataclass(frozen=True, kw_only=True)
class _Folders(DataSource):
    decodes: ClassVar[bool] = True
    version: ClassVar[int] = 2

    root: str
    """Directory of the data set."""
    cache: str = ""
    """Directory for the decoded images, memory-mapped afterwards; empty decodes in every process."""

    def __post_init__(self) -> None:
        self._geometry()

    def digest(self) -> str:
        """SHA-256 over the sorted manifest (relative path, size in bytes, label, part) and the geometry.

        Pixels are not read: a file overwritten by one of equal length goes unnoticed.
        """
        return self._listing().digest(self._geometry())

    def read_labels(self) -> Labels:
        """Labels from the directory tree; of a few images what stands before their pixels."""
        return self._listing().describe(self._geometry())

    def read_images(self) -> np.ndarray:
        """`N x C x H x W`, uint8, decoded in threads."""
        return self._listing().decode(self._geometry(), self.cache)

    def read_some(self, rows: np.ndarray) -> np.ndarray:
        """Images of some examples alone, `n x C x H x W`."""
        return self._listing().only(rows).decode(self._geometry(), cache="")

    def names(self) -> tuple[str, ...]:
        """Path of each example below the root."""
        return self._listing().paths

    def content_hashes(self) -> np.ndarray:
        """`N x 32`, uint8: content hash of each example, without holding all images."""
        return self._listing().content_hashes(self._geometry(), self.cache)

    def read_file(self, path: Path) -> np.ndarray:
        """An image file anywhere, decoded, resized and cropped as the examples are."""
        return decode(path, self._geometry())

    def _root(self) -> Path:
        path = Path(os.path.expanduser(self.root))
        if not path.is_dir():
            raise AuditError(f"root: no directory {path}")
        return path

    @abstractmethod
    def _geometry(self) -> Geometry: ...

    @abstractmethod
    def _listing(self) -> Listing: ...


@register("image_folder")
@dataclass(frozen=True, kw_only=True)
class ImageFolder(_Folders):
    """root/<class>/*, or root/train/<class>/* with root/test (else root/val) as the test part."""

    image_size: int = 32
    """Pixels of a side: the shorter side is resized to it, then the centre is cut out."""
    channels: int = 3
    """3 for colour, 1 for grey."""
    background: int = 255
    """Grey level, 0 to 255, behind what is transparent: white."""

    def _geometry(self) -> Geometry:
        size = self.image_size
        return Geometry(channels=self.channels, size=size, resize=size, background=self.background)

    def _listing(self) -> Listing:
        root = self._root()
        train = root / "train"
        if not train.is_dir():
            names = class_folders(root)
            loose = loose_files(root, root)
            return listing(root, tuple(names), _by_class(root, root, names), (), loose=loose)
        names = class_folders(train)
        test = next((root / part for part in ("test", "val") if (root / part).is_dir()), None)
        parts = [train, *([test] if test else [])]
        return listing(
            root,
            tuple(names),
            _by_class(root, train, names),
            _by_class(root, test, names) if test else (),
            loose=[path for part in (root, *parts) for path in loose_files(part, root)],
            other_folders=[name for name in class_folders(root) if root / name not in parts],
        )


@register("imagenet")
@dataclass(frozen=True, kw_only=True)
class ImageNet(_Folders):
    """ILSVRC 2012 as root/train/<wnid>/*.JPEG and root/val/<wnid>/*.JPEG; val is the test part."""

    image_size: int = 224
    """Pixels of a side after the centre crop; 1000 classes at 64 take 16 GB, at 224 take 200 GB."""
    resize: int = 256
    """Pixels of the shorter side before the crop."""

    def _geometry(self) -> Geometry:
        return Geometry(channels=3, size=self.image_size, resize=self.resize)

    def _listing(self) -> Listing:
        root = self._root()
        names = class_folders(root / "train")
        train, test = (_by_class(root, root / part, names) for part in ("train", "val"))
        return listing(root, tuple(names), train, test)


@register("tiny_imagenet")
@dataclass(frozen=True, kw_only=True)
class TinyImageNet(_Folders):
    """100,000 training images of 64 x 64 in 200 classes, and the 10,000 of val as the test part.

    Classes are in the order of their WordNet ids and carry their first word.
    """

    def _geometry(self) -> Geometry:
        return Geometry(channels=3, size=64, resize=64)

    def _listing(self) -> Listing:
        root = self._root()
        wnids = sorted(_lines(root / "wnids.txt"))
        index = {wnid: label for label, wnid in enumerate(wnids)}
        train = (
            (label, path)
            for wnid, label in index.items()
            for path in visible_files(root / "train" / wnid / "images", root)
        )
        return listing(root, _words(root, wnids), train, _annotated(root, index))


def _by_class(root: Path, part: Path, names: list[str]) -> Iterator[tuple[int, str]]:
    index = {name: label for label, name in enumerate(names)}
    for name in class_folders(part):
        if name not in index:
            raise AuditError(f"{part}: class '{name}' is not one of the {len(names)} training classes")
        for path in visible_files(part / name, root):
            yield index[name], path


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise AuditError(f"{path}: missing; it is part of the official archive")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _words(root: Path, wnids: list[str]) -> tuple[str, ...]:
    """The first word of each class; words that several classes share are followed by the id."""
    table = dict(line.split("\t", 1) for line in _lines(root / "words.txt") if "\t" in line)
    first = [table.get(wnid, wnid).split(",")[0].strip() for wnid in wnids]
    count = Counter(first)
    return tuple(
        word if count[word] == 1 else f"{word} ({wnid})" for word, wnid in zip(first, wnids, strict=True)
    )


def _annotated(root: Path, index: dict[str, int]) -> Iterator[tuple[int, str]]:
    path = root / "val" / "val_annotations.txt"
    for number, line in enumerate(_lines(path), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.split("\t")[0]
        if wnid not in index:
            raise AuditError(f"{path}: line {number}: '{wnid}' is not in wnids.txt")
        image = root / "val" / "images" / name
        if Path(name).name != name or not image.is_file():
            raise AuditError(f"{path}: line {number}: no file '{name}' in val/images")
        yield index[wnid], image.relative_to(root).as_posix()
