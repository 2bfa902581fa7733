"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from the official binary or Python archives."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from tasks.datasets.archive import FileSize, contents_digest, file_digest, read_directory, read_tar
from tasks.datasets.base import DataSource, Labels, register
from tasks.datasets.pickled import load_table
from tasks.errors import AuditError

_PIXELS = 3 * 32 * 32
_PICKLE_OVERHEAD = 1 << 24
_LARGER = 10
"""How many times the official examples a file may hold: what an archive may unpack to is bounded."""
Format = Literal["auto", "binary", "python"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One of the forms in which the data set is distributed."""

    format: Literal["binary", "python"]
    folder: str
    """Directory inside the archive, and the name of the extracted one."""
    archive: str
    train: tuple[str, ...]
    """Files of training examples, in canonical order."""
    test: str
    meta: tuple[str, ...]
    """Files of class names."""
    num_train: int
    """Examples in each official training file; others may have any number."""
    num_test: int = 10_000
    label_bytes: int = 1
    """Labels in front of each binary record; the last is the (fine) label."""

    def sizes(self) -> dict[str, FileSize]:
        """Every file with the sizes it may have, training files first, then the test file."""
        counts = dict.fromkeys(self.train, self.num_train) | {self.test: self.num_test}
        return {n: self._size(count) for n, count in counts.items()} | dict.fromkeys(self.meta, FileSize())

    def _size(self, count: int) -> FileSize:
        if self.format == "binary":
            record = self.label_bytes + _PIXELS
            return FileSize(smallest=record, largest=_LARGER * count * record, record=record)
        return FileSize(smallest=_PIXELS, largest=2 * _LARGER * count * _PIXELS + _PICKLE_OVERHEAD)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The examples of one file."""

    images: np.ndarray
    """`n x 3 x 32 x 32`, uint8."""
    labels: np.ndarray
    coarse: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The files of a data set in memory, with the layout they have."""

    layout: Layout
    files: dict[str, bytes]
    place: str
    """Directory or archive, for messages."""

    def parts(self) -> list[Part]:
        """Every file of examples, in canonical order: training, then test."""
        read = _read_records if self.layout.format == "binary" else _read_pickle
        return [
            read(self.files[name], self.layout.label_bytes, where=f"{self.place}/{name}")
            for name in (*self.layout.train, self.layout.test)
        ]

    def names(self, kind: str) -> tuple[str, ...]:
        """Class names: `kind` is label, fine_label or coarse_label."""
        if self.layout.format == "python":
            name = self.layout.meta[0]
            table = load_table(self.files[name], where=f"{self.place}/{name}")
            names = _entry(table, f"{kind}_names", where=f"{self.place}/{name}")
            if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
                raise AuditError(f"{self.place}/{name}: {kind}_names: expected a list of text")
            return tuple(names)
        name = "batches.meta.txt" if kind == "label" else f"{kind}_names.txt"
        return tuple(self.files[name].decode("utf-8", "replace").split())


def _read_records(data: bytes, label_bytes: int, *, where: str) -> Part:
    # The size was checked when the file was read, so the records fit.
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, label_bytes + _PIXELS)
    return Part(
        images=records[:, label_bytes:].reshape(-1, 3, 32, 32),
        labels=records[:, label_bytes - 1].astype(np.int64),
        coarse=records[:, 0].astype(np.int64) if label_bytes == 2 else None,
    )


def _read_pickle(data: bytes, label_bytes: int, *, where: str) -> Part:
    table = load_table(data, where=where)
    images = _entry(table, "data", where=where)
    shape: tuple[int, ...] = getattr(images, "shape", ())
    if len(shape) != 2 or not shape[0] or shape[1] != _PIXELS or images.dtype != np.uint8:
        found = f"{images.dtype} {shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise AuditError(f"{where}: data: expected uint8 of shape (images, {_PIXELS}), got {found}")
    count = len(images)
    keys = ("labels",) if label_bytes == 1 else ("fine_labels", "coarse_labels")
    labels = [_integers(_entry(table, key, where=where), count, where=f"{where}: {key}") for key in keys]
    coarse = labels[1] if label_bytes == 2 else None
    return Part(images=images.reshape(count, 3, 32, 32), labels=labels[0], coarse=coarse)


def _entry(table: dict[str, Any], key: str, *, where: str) -> Any:
    if key not in table:
        found = ", ".join(f"{name!s:.40}" for name in list(table)[:20])
        raise AuditError(f"{where}: no '{key}' in the pickle; found {found or 'nothing'}")
    return table[key]


def _integers(values: Any, count: int, *, where: str) -> np.ndarray:
    if not isinstance(values, (list, np.ndarray)) or len(values) != count:
        found = f"{len(values)} values" if hasattr(values, "__len__") else type(values).__name__
        raise AuditError(f"{where}: expected {count} integers, got {found}")
    if not all(isinstance(value, (int, np.integer)) and abs(int(value)) < 2**31 for value in values):
        raise AuditError(f"{where}: expected {count} integers, each the number of a class")
    return np.asarray(values, dtype=np.int64)


def _locate(root: Path, layouts: Sequence[Layout]) -> tuple[Path, tuple[Layout, ...]]:
    """The directory or archive to read, and the layouts it may have."""
    if root.is_file():
        return root, tuple(layouts)
    for layout in layouts:
        for folder in (root, root / layout.folder):
            if (folder / layout.train[0]).is_file():
                return folder, (layout,)
    for layout in layouts:
        if (root / layout.archive).is_file():
            return root / layout.archive, (layout,)
    wanted = " or ".join(f"{layout.folder}/ ({layout.archive})" for layout in layouts)
    raise AuditError(f"root: expected {wanted} at {root}, found neither")


def _read(root: Path, layouts: Sequence[Layout]) -> Contents:
    place, possible = _locate(root, layouts)
    if place.is_dir():
        layout = possible[0]
        return Contents(layout=layout, files=read_directory(place, layout.sizes()), place=str(place))
    sizes = {f"{each.folder}/{name}": size for each in possible for name, size in each.sizes().items()}
    members = read_tar(place, sizes)
    layout = next((each for each in possible if f"{each.folder}/{each.train[0]}" in members), possible[0])
    for name, size in layout.sizes().items():
        if f"{layout.folder}/{name}" not in members:
            raise AuditError(f"{place}: no member {layout.folder}/{name} ({size.smallest} bytes or more)")
    files = {name: members[f"{layout.folder}/{name}"] for name in layout.sizes()}
    return Contents(layout=layout, files=files, place=f"{place}: {layout.folder}")


def _check_range(parts: Sequence[Part], num_classes: int, place: str) -> None:
    highest = max(int(part.labels.max()) for part in parts)
    if highest >= num_classes or min(int(part.labels.min()) for part in parts) < 0:
        raise AuditError(f"{place}: expected labels 0..{num_classes - 1}, got up to {highest}")


@dataclass(frozen=True, kw_only=True)
class _Cifar(DataSource):
    root: str
    """Extracted directory, a directory that holds it, or the official .tar.gz (read in memory)."""
    format: Format = "auto"
    """binary or python archive; auto takes the one that is there, binary first."""

    layouts: ClassVar[tuple[Layout, ...]]

    def _layouts(self) -> list[Layout]:
        return [layout for layout in self.layouts if self.format in ("auto", layout.format)]

    def _contents(self) -> Contents:
        return _read(Path(os.path.expanduser(self.root)), self._layouts())

    def digest(self) -> str:
        """SHA-256 of the archive, or of the names and bytes of the extracted files.

        The four distributions (binary or Python, packed or not) have four digests.
        """
        place, possible = _locate(Path(os.path.expanduser(self.root)), self._layouts())
        if place.is_file():
            return file_digest(place)
        names = possible[0].sizes()
        for name in names:
            if not (place / name).is_file():
                raise AuditError(f"{place / name}: missing; an extracted archive holds {', '.join(names)}")
        return contents_digest((name, place / name) for name in names)

    def read_images(self) -> np.ndarray:
        """`60000 x 3 x 32 x 32`, uint8: training files in order, then the test file."""
        return np.concatenate([part.images for part in self._contents().parts()])

    def _is_test(self, parts: Sequence[Part]) -> np.ndarray:
        counts = [len(part.labels) for part in parts]
        return np.repeat(np.array([False, True]), (sum(counts[:-1]), counts[-1]))

    def _notes(self, layout: Layout, parts: Sequence[Part]) -> tuple[str, ...]:
        """What is not as in the official files."""
        *train, test = (len(part.labels) for part in parts)
        official = len(layout.train) * layout.num_train, layout.num_test
        if (sum(train), test) == official:
            return ()
        return (
            f"{self.root}: {sum(train)} training and {test} test examples; the official files have {official[0]} and "
            f"{official[1]}",
        )


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))


@register("cifar10")
@dataclass(frozen=True, kw_only=True)
class Cifar10(_Cifar):
    """60,000 colour images of 32 x 32 in 10 classes; the official 10,000 are the test part."""

    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            format="binary",
            folder="cifar-10-batches-bin",
            archive="cifar-10-binary.tar.gz",
            train=tuple(f"{name}.bin" for name in _BATCHES),
            test="test_batch.bin",
            meta=("batches.meta.txt",),
            num_train=10_000,
        ),
        Layout(
            format="python",
            folder="cifar-10-batches-py",
            archive="cifar-10-python.tar.gz",
            train=_BATCHES,
            test="test_batch",
            meta=("batches.meta",),
            num_train=10_000,
        ),
    )

    def read_labels(self) -> Labels:
        """Labels of the five training batches, then of the test batch."""
        contents = self._contents()
        parts, names = contents.parts(), contents.names("label")
        _check_range(parts, len(names), contents.place)
        return Labels(
            labels=np.concatenate([part.labels for part in parts]),
            is_test=self._is_test(parts),
            class_names=names,
            image_shape=(3, 32, 32),
            notes=self._notes(contents.layout, parts),
        )


@register("cifar100")
@dataclass(frozen=True, kw_only=True)
class Cifar100(_Cifar):
    """60,000 colour images of 32 x 32 in 100 fine classes within 20 super-classes."""

    labels: Literal["fine", "coarse"] = "fine"
    """What the model learns; coarse makes the fine classes sub-classes that can be forgotten."""

    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout(
            format="binary",
            folder="cifar-100-binary",
            archive="cifar-100-binary.tar.gz",
            train=("train.bin",),
            test="test.bin",
            meta=("fine_label_names.txt", "coarse_label_names.txt"),
            num_train=50_000,
            label_bytes=2,
        ),
        Layout(
            format="python",
            folder="cifar-100-python",
            archive="cifar-100-python.tar.gz",
            train=("train",),
            test="test",
            meta=("meta",),
            num_train=50_000,
            label_bytes=2,
        ),
    )

    def digest(self) -> str:
        """SHA-256 of the files and of which labels are learnt."""
        return hashlib.sha256(f"{super().digest()} {self.labels}".encode()).hexdigest()

    def read_labels(self) -> Labels:
        """Fine or coarse labels of the training file, then of the test file."""
        contents = self._contents()
        parts = contents.parts()
        fine_names, coarse_names = contents.names("fine_label"), contents.names("coarse_label")
        _check_range(parts, len(fine_names), contents.place)
        fine = np.concatenate([part.labels for part in parts])
        coarse = np.concatenate([part.coarse for part in parts if part.coarse is not None])
        is_fine = self.labels == "fine"
        return Labels(
            labels=fine if is_fine else coarse,
            is_test=self._is_test(parts),
            class_names=fine_names if is_fine else coarse_names,
            image_shape=(3, 32, 32),
            notes=self._notes(contents.layout, parts),
            coarse_labels=coarse,
            coarse_names=coarse_names,
            fine_labels=fine,
            fine_names=fine_names,
        )
