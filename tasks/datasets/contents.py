"""Examples named by their pixels: a deletion request need not know row numbers. NumPy only.

The content hash of an example is the SHA-256 of one line of ASCII, `<dtype> <C>x<H>x<W>\\n`, followed by the
pixels as the audit holds them: channels first, row by row, no padding; dtype is `uint8`, or `float32` with
little-endian values. In Python: `sha256(b"uint8 3x32x32\\n" + image.tobytes())`. Labels and triggers of poisoned
sets are not part of it. Identical images have one hash, wherever they occur.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tasks.datasets.arrays import read_npy
from tasks.datasets.base import DataSource
from tasks.datasets.pixels import load_image
from tasks.errors import AuditError

_CHUNK = 256
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_latest: dict[str, np.ndarray] = {}


def content_hash(image: np.ndarray) -> bytes:
    """SHA-256 of one image, 32 bytes.

    Args:
        image: `C x H x W`, uint8 or float32.
    """
    sha = hashlib.sha256(f"{image.dtype.name} {'x'.join(map(str, image.shape))}\n".encode())
    sha.update(np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<")).tobytes())
    return sha.digest()


def hash_images(images: np.ndarray) -> np.ndarray:
    """Content hash of each image, `N x 32`, uint8; memory-mapped images are read a few at a time."""
    hashes = np.empty((len(images), 32), dtype=np.uint8)

    def fill(start: int) -> None:
        for row in range(start, min(start + _CHUNK, len(images))):
            hashes[row] = np.frombuffer(content_hash(images[row]), dtype=np.uint8)

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(fill, range(0, len(images), _CHUNK)):
            pass
    return hashes


def content_hashes(source: DataSource, digest: str) -> np.ndarray:
    """Content hash of each example of a data set, `N x 32`, uint8; computed once for each process.

    A source with a method `content_hashes` need not hold all its images for it.

    Args:
        source: the data set.
        digest: its digest, by which the hashes of the latest data set are kept.
    """
    if digest not in _latest:
        found = source.content_hashes()
        if found is None:
            found = hash_images(source.read_images())
        _latest.clear()
        _latest[digest] = found
    return _latest[digest]


def read_file(source: DataSource, path: Path) -> np.ndarray:
    """An image file as the data set would hold it, `C x H x W`.

    Folders of images decode, resize and crop it as their own; elsewhere its size must be that of the examples,
    and where these are no bytes it must be a .npy array of their type.

    Raises:
        AuditError: the file is no such image.
    """
    if source.decodes and path.suffix.lower() != ".npy":
        return source.read_file(path)
    shape = source.read_labels().image_shape
    if path.suffix.lower() == ".npy":
        dtype, image = (np.uint8 if source.decodes else source.read_images().dtype), read_npy(path)
    else:
        dtype, image = source.read_images().dtype, _pixels(path, shape[0])
    if image.shape != shape or image.dtype != dtype:
        raise AuditError(
            f"{path}: expected {np.dtype(dtype).name} {shape} as the examples are, got {image.dtype} {image.shape}"
        )
    return image


def _pixels(path: Path, channels: int) -> np.ndarray:
    pixels = np.asarray(load_image(path, _MODES[channels]))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
