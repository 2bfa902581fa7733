"""Image files by class: listed in one order, digested without reading pixels, decoded in threads."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.datasets.base import Labels
from tasks.datasets.contents import content_hash, hash_images
from tasks.datasets.pixels import SAID, SUFFIXES, check_pixels, load_image, peculiarities
from tasks.datasets.spread import LOOKED_AT, spread
from tasks.errors import AuditError

if TYPE_CHECKING:
    from PIL.Image import Image

READ = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
"""Suffixes of image files, lower-case."""
_CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What every image becomes: its shorter side `resize` pixels, then the centre `size x size`."""

    channels: int
    """3 for colour, 1 for grey."""
    size: int
    resize: int
    background: int = 255
    """Grey level behind what is transparent."""

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise AuditError(f"channels: expected 1 or 3, got {self.channels}")
        if self.size < 1:
            raise AuditError(f"image_size: expected at least 1, got {self.size}")
        if self.resize < self.size:
            raise AuditError(f"resize: expected at least image_size = {self.size}, got {self.resize}")
        if not 0 <= self.background <= 255:
            raise AuditError(f"background: expected a grey level from 0 to 255, got {self.background}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.size, self.size


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of a data set in canonical order: training before test, then by class, then by path."""

    root: Path
    paths: tuple[str, ...]
    """Relative to `root`, with forward slashes."""
    labels: np.ndarray
    is_test: np.ndarray
    class_names: tuple[str, ...]
    passed_over: tuple[str, ...] = ()
    """Files among them that are no images, likewise, and links to folders, which are not followed."""
    other_folders: tuple[str, ...] = ()
    """Names of folders beside the parts, which are not read."""

    def digest(self, geometry: Geometry) -> str:
        """SHA-256 over the manifest (relative path, bytes, label, part) and the geometry.

        Pixels are not read: a file that is overwritten by one of equal length goes unnoticed. Reading
        ImageNet takes minutes, listing it seconds.
        """
        sha = hashlib.sha256(f"{geometry}\n".encode())
        for path, label, test in zip(self.paths, self.labels.tolist(), self.is_test.tolist(), strict=True):
            sha.update(f"{path}\0{_size_of(self.root / path)}\0{label}\0{test}\n".encode())
        return sha.hexdigest()

    def describe(self, geometry: Geometry) -> Labels:
        """Labels and shape."""
        return Labels(
            labels=self.labels,
            is_test=self.is_test,
            class_names=self.class_names,
            image_shape=geometry.shape,
            notes=self._notes(geometry),
        )

    def _notes(self, geometry: Geometry) -> tuple[str, ...]:
        """What of a sample of the files is not simply their pixels, and which files are no images."""
        places = spread(len(self.paths), LOOKED_AT)
        kinds = Counter(kind for row in places for kind in peculiarities(self.root / self.paths[row]))
        notes = [
            f"{count} of {len(places)} image files that were looked at are "
            + SAID[kind].format(background=geometry.background)
            for kind, count in sorted(kinds.items())
        ]
        if self.passed_over:
            kinds = Counter(Path(path).suffix.lower() or "no suffix" for path in self.passed_over)
            told = ", ".join(f"{count} x {suffix:.20}" for suffix, count in sorted(kinds.items())[:10])
            notes.append(f"{len(self.passed_over)} files beside the images are not read: {told}")
        if self.other_folders:
            told = ", ".join(f"{name:.40}" for name in self.other_folders[:10])
            notes.append(
                f"{len(self.other_folders)} folders beside train and its test part are not read: {told}"
            )
        return tuple(notes)

    def decode(self, geometry: Geometry, cache: str) -> np.ndarray:
        """All images, `N x C x H x W`, uint8; memory-mapped from the `cache` directory if one is given.

        The cached file is named by digest and shape and appears only when it is complete.

        Raises:
            AuditError: an image cannot be decoded; its path is named.
        """
        shape = (len(self.paths), *geometry.shape)
        if not cache:
            images = np.empty(shape, dtype=np.uint8)
            self._fill(images, geometry)
            return images
        name = f"{self.digest(geometry)[:32]}-{'x'.join(map(str, shape))}.npy"
        path = Path(os.path.expanduser(cache)) / name
        if not _is_complete(path, shape):
            self._write(path, shape, geometry)
        return np.load(path, mmap_mode="r")

    def only(self, rows: np.ndarray) -> Listing:
        """The files of some examples, in the given order."""
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            labels=self.labels[rows],
            is_test=self.is_test[rows],
        )

    def content_hashes(self, geometry: Geometry, cache: str) -> np.ndarray:
        """Content hash of each image, `N x 32`, uint8, one decoded image at a time in each thread.

        Raises:
            AuditError: an image cannot be decoded; its path is named.
        """
        if cache:
            return hash_images(self.decode(geometry, cache))
        hashes = np.empty((len(self.paths), 32), dtype=np.uint8)

        def take(row: int, image: np.ndarray) -> None:
            hashes[row] = np.frombuffer(content_hash(image), dtype=np.uint8)

        self._visit(geometry, take)
        return hashes

    def _write(self, path: Path, shape: tuple[int, ...], geometry: Geometry) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".npy")
        os.close(handle)
        try:
            images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            self._fill(images, geometry)
            images.flush()
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _fill(self, images: np.ndarray, geometry: Geometry) -> None:
        self._visit(geometry, images.__setitem__)

    def _visit(self, geometry: Geometry, take: Callable[[int, np.ndarray], None]) -> None:
        """Give every row and its decoded image to `take`, from several threads."""
        from PIL import Image

        Image.init()  # loading the plug-ins is not safe from several threads

        def visit(start: int) -> None:
            for row in range(start, min(start + _CHUNK, len(self.paths))):
                take(row, decode(self.root / self.paths[row], geometry))

        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for _ in pool.map(visit, range(0, len(self.paths), _CHUNK)):
                pass


def _size_of(path: Path) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:  # a link to nothing, or to itself
        raise AuditError(f"{path}: cannot read this file: {error.strerror}") from None


def decode(file: Path | bytes, geometry: Geometry, where: str = "") -> np.ndarray:
    """One image, `C x H x W`, uint8.

    Args:
        file: its path, or what it holds.
        geometry: what it becomes.
        where: of the bytes, for messages.

    Raises:
        AuditError: as `load_image`; or it has too many pixels once its shorter side is long enough.
    """
    where = where or str(file)
    mode = "L" if geometry.channels == 1 else "RGB"
    image = load_image(file, mode, where=where, background=geometry.background)
    try:
        pixels = np.asarray(_fit(image, geometry))
    except ValueError as error:
        raise AuditError(f"{where}: cannot fit this image: {error}") from None
    return pixels[None] if geometry.channels == 1 else pixels.transpose(2, 0, 1)


def _fit(image: Image, geometry: Geometry) -> Image:
    from PIL.Image import Resampling

    shorter = min(image.size)
    if shorter != geometry.resize:
        width, height = (max(geometry.resize, round(s * geometry.resize / shorter)) for s in image.size)
        check_pixels(width, height)
        image = image.resize((width, height), Resampling.BILINEAR)
    left, top = ((s - geometry.size) // 2 for s in image.size)
    return image.crop((left, top, left + geometry.size, top + geometry.size))


def _is_complete(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return images.shape == shape and images.dtype == np.uint8


ADDED_BY_MACOS = "__MACOSX"
"""Folder in archives that macOS packs, of what other systems do not know."""


def class_folders(part: Path) -> list[str]:
    """Names of the class directories, sorted.

    Raises:
        AuditError: there is none.
    """
    if not part.is_dir():
        raise AuditError(f"{part}: missing; expected a directory of class directories")
    with os.scandir(part) as entries:
        shown = [entry for entry in entries if entry.name[0] != "." and entry.name != ADDED_BY_MACOS]
        names = sorted(entry.name for entry in shown if _is_folder(entry))
    if not names:
        raise AuditError(f"{part}: expected one directory per class, found none")
    return names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry beside the classes is one: a link that leads nowhere may have been one, or an image.

    Raises:
        AuditError: it is such a link.
    """
    try:
        os.stat(entry.path)
    except OSError as error:
        raise AuditError(f"{entry.path}: cannot look at this: {error.strerror}") from None
    return entry.is_dir()


def loose_files(part: Path, root: Path) -> list[str]:
    """Files beside the class directories that are not hidden, relative to `root`: they are of no class."""
    with os.scandir(part) as entries:
        return sorted(
            Path(entry.path).relative_to(root).as_posix()
            for entry in entries
            if entry.name[0] != "." and not _is_folder(entry)
        )


def visible_files(folder: Path, root: Path) -> list[str]:
    """Files below a class directory that are not hidden, relative to `root`, sorted; links to folders likewise.

    Raises:
        AuditError: there is no image among them, or a folder cannot be listed.
    """
    found: list[str] = []
    for directory, folders, names in os.walk(folder, onerror=_refuse_folder):
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        place = Path(directory).relative_to(root).as_posix()
        found += [f"{place}/{name}" for name in (*names, *links) if name[0] != "."]
    if not any(map(is_image, found)):
        shown = os.fsencode(folder).decode("utf-8", "backslashreplace")
        raise AuditError(f"{shown}: expected image files (.png, .jpg, .tif, .gif, .webp, ...), found none")
    return sorted(found)


def _refuse_folder(error: OSError) -> None:
    raise AuditError(f"{os.fsdecode(error.filename)}: cannot list this folder: {error.strerror}") from None


def is_image(path: str) -> bool:
    """Whether a file is an image by its name."""
    return os.path.splitext(path)[1].lower() in READ


def listing(
    root: Path,
    class_names: tuple[str, ...],
    train: Iterable[tuple[int, str]],
    test: Iterable[tuple[int, str]],
    *,
    loose: Sequence[str] = (),
    other_folders: Sequence[str] = (),
) -> Listing:
    """Put (label, relative path) pairs into canonical order, without those that are no images.

    Args:
        root: of the paths.
        class_names: by label.
        train: training examples.
        test: test examples.
        loose: files that lie beside the classes.
        other_folders: names of folders that lie beside the parts.

    Raises:
        AuditError: a name cannot be written in UTF-8.
    """
    parts = [sorted(train), sorted(test)]
    images = [[pair for pair in part if is_image(pair[1])] for part in parts]
    pairs = [pair for part in images for pair in part]
    for _, path in pairs:
        if not path.isascii() and path.encode("utf-8", "replace").decode() != path:
            shown = os.fsencode(path).decode("utf-8", "backslashreplace")
            raise AuditError(f"{root}: expected file names in UTF-8, got '{shown:.200}'; rename it")
    return Listing(
        root=root,
        paths=tuple(path for _, path in pairs),
        labels=np.array([label for label, _ in pairs], dtype=np.int64),
        is_test=np.repeat(np.array([False, True]), [len(part) for part in images]),
        class_names=class_names,
        passed_over=(*(path for part in parts for _, path in part if not is_image(path)), *loose),
        other_folders=tuple(other_folders),
    )
