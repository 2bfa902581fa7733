"""IDX files, the format of MNIST and its like (LeCun et al. 1998), plain or in gzip."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from tasks.datasets.base import DataSource, Labels, register
from tasks.datasets.class_numbers import class_numbers, require_test
from tasks.errors import AuditError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)-(?P<kind>images|labels)[.-]idx\d-ubyte(?P<packed>\.gz)?"
)


@register("idx")
@dataclass(frozen=True, kw_only=True)
class Idx(DataSource):
    """A folder of train-images-idx3-ubyte, train-labels-idx1-ubyte and, for the test part, t10k-... (or test-...).

    Each may end in .gz. Images are bytes, `N x H x W`, grey; labels whole numbers from 0. Example ids are places: in
    the training files, then in the test files.
    """

    root: str
    """The folder."""
    prefix: str = ""
    """What the names of the files begin with, such as emnist-letters-; empty: what all of them begin with."""

    def digest(self) -> str:
        """SHA-256 of what the files hold, unpacked."""
        sha = hashlib.sha256()
        for name, path in self._files().items():
            array = read_idx(path)
            sha.update(f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
        return sha.hexdigest()

    def read_labels(self) -> Labels:
        """Labels of the files, and the shape of the images from their headers."""
        files = self._files()
        parts = [part for part in ("train", "test") if f"{part} images" in files]
        shapes = {part: idx_shape(files[f"{part} images"]) for part in parts}
        labels = {part: read_idx(files[f"{part} labels"]) for part in parts}
        for part in parts:
            path = files[f"{part} images"]
            if len(shapes[part]) != 3:
                raise AuditError(
                    f'{path}: expected images x rows x columns, got shape {shapes[part]}; name = "npz" reads others'
                )
            if labels[part].shape[:1] != shapes[part][:1]:
                raise AuditError(
                    f"{files[f'{part} labels']}: expected {shapes[part][0]} labels as there are images, got "
                    f"{labels[part].shape}"
                )
        if len({shape[1:] for shape in shapes.values()}) > 1:
            raise AuditError(f"{self.root}: train and test images differ in shape: {list(shapes.values())}")
        numbers, names = class_numbers([(str(files[f"{part} labels"]), labels[part]) for part in parts])
        is_test = np.repeat(np.array([False, True]), [len(numbers[0]), sum(map(len, numbers[1:]))])
        require_test(is_test, given=len(numbers) > 1, where=self.root)
        return Labels(
            labels=np.concatenate(numbers),
            is_test=is_test,
            class_names=names,
            image_shape=(1, *shapes["train"][1:]),
        )

    def read_images(self) -> np.ndarray:
        """`N x 1 x H x W`, uint8."""
        files = self._files()
        found = [(path, read_idx(path)) for name, path in files.items() if name.endswith("images")]
        for path, array in found:
            if array.dtype != np.uint8:
                raise AuditError(
                    f'{path}: expected images of bytes, got {array.dtype}; name = "npz" reads others'
                )
        return np.concatenate([array for _, array in found])[:, None]

    def _files(self) -> dict[str, Path]:
        """By part and kind, images before labels and train before test."""
        root = Path(os.path.expanduser(self.root))
        if not root.is_dir():
            raise AuditError(f"root: no directory {root}")
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(root.iterdir(), reverse=True):  # a plain file wins over the packed one
            match = _FILE.fullmatch(path.name)
            if match and path.is_file():
                part = "train" if match["part"] == "train" else "test"
                found.setdefault(match["prefix"], {})[f"{part} {match['kind']}"] = path
        prefix = next(iter(found)) if not self.prefix and len(found) == 1 else self.prefix
        if prefix not in found:
            told = (
                f"prefix: expected one of {', '.join(sorted(found))}"
                if found
                else "root: expected train-images-idx3-ubyte"
            )
            raise AuditError(
                f"{told} in {root}, got '{self.prefix}'"
                if found
                else f"{told} (or .gz) in {root}, found none"
            )
        files = found[prefix]
        for part in ("train", "test") if any(name.startswith("test") for name in files) else ("train",):
            for kind in ("images", "labels"):
                if f"{part} {kind}" not in files:
                    raise AuditError(
                        f"{root}: expected the {kind} of the {part} part too, such as {prefix}{part}-{kind}-idx"
                    )
        return {
            name: files[name] for name in sorted(files, key=lambda name: (not name.startswith("train"), name))
        }


def idx_shape(path: Path) -> tuple[int, ...]:
    """The shape of an IDX file, from its header alone.

    Raises:
        AuditError: it is none.
    """
    with _told(path), _unpacked(path) as file:
        return _header(file)[1]


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, plain or in gzip, in the byte order of this machine.

    Raises:
        AuditError: it is damaged, not as long as its header says, or larger than the memory.
    """
    with _told(path), _unpacked(path) as file:
        kind, shape = _header(file)
        claimed = math.prod(shape) * kind.itemsize
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if claimed > memory:
            raise ValueError(f"shape {shape} takes {claimed} bytes, this machine has {memory} of memory")
        if not isinstance(file, gzip.GzipFile):
            left = os.fstat(file.fileno()).st_size - file.tell()
            if left != claimed:
                raise ValueError(f"shape {shape} takes {claimed} bytes, the file has {left}")
        data = file.read(claimed + 1)
    if len(data) != claimed:
        found = "more" if len(data) > claimed else str(len(data))
        raise AuditError(
            f"{path}: cannot read this IDX file: shape {shape} takes {claimed} bytes, the file has {found}"
        )
    return np.frombuffer(data, dtype=kind).reshape(shape).astype(kind.newbyteorder("="))


def _header(file: IO[bytes] | gzip.GzipFile) -> tuple[np.dtype, tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not magic[3]:
        raise ValueError(
            f"expected two zeros, a type and a number of axes first, got {magic.hex() or 'nothing'}"
        )
    sides = file.read(4 * magic[3])
    if len(sides) < 4 * magic[3]:
        raise ValueError("it ends within its header")
    return np.dtype(_TYPES[magic[2]]), tuple(np.frombuffer(sides, dtype=">u4").tolist())


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            yield file
        else:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, EOFError, zlib.error, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AuditError(
            f"{path}: cannot read this IDX file: {reason or type(error).__name__:.200}"
        ) from None
