"""Images in Parquet files, and in folders as the package datasets writes them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from tasks.datasets.archive import file_digest
from tasks.datasets.arrow_tables import ROWS, Columns, columns_of, count_of, encoded_images, values_of
from tasks.datasets.base import DataSource, Labels, register
from tasks.datasets.class_numbers import class_numbers, require_test
from tasks.datasets.images import Geometry, decode
from tasks.datasets.pixels import load_image, shape_of
from tasks.datasets.table_folders import TESTS, TRAIN, table_parts
from tasks.errors import AuditError

_MODES = {1: "L", 3: "RGB"}


@register("image_table")
@dataclass(frozen=True, kw_only=True)
class ImageTable(DataSource):
    """A Parquet file, a folder of them, or a folder of save_to_disk: a column of images (PNG, ...), one of labels.

    Example ids are rows: of the training part (train), then of the test part (test, else validation), if there is one.
    Labels are whole numbers from 0 or names of classes; names that the file itself says (ClassLabel) are taken.
    """

    path: str
    """File or folder."""
    test_path: str = ""
    """File of the test part, where path is a file; empty: none."""
    image_column: str = ""
    """Column of encoded images; empty: the only one."""
    label_column: str = ""
    """Column of labels; empty: the only one with names of classes, or the one that is called label."""
    image_size: int = 0
    """Pixels of a side: the shorter side is resized to it, then the centre is cut out. 0: images are of one size."""
    channels: int = 0
    """3 for colour, 1 for grey; 0: as the first image has."""
    background: int = 255
    """Grey level, 0 to 255, behind what is transparent: white."""

    def __post_init__(self) -> None:
        size = self.image_size or 1
        Geometry(channels=self.channels or 3, size=size, resize=size, background=self.background)

    def digest(self) -> str:
        """SHA-256 of the files, in order, and of how they are read."""
        sha = hashlib.sha256(f"{self._image_column()} {self._label_column()} {self.image_size} ".encode())
        sha.update(f"{self.channels} {self.background}\n".encode())
        for is_test, file in self._files():
            sha.update(f"{is_test} {file_digest(file)}\n".encode())
        return sha.hexdigest()

    def read_labels(self) -> Labels:
        """Labels of all files; of the images what stands before the pixels of the first."""
        files, column = self._files(), self._label_column()
        names = self._columns().classes.get(column, ())
        numbers, names = class_numbers(
            [(f"{file}: '{column}'", values_of(file, column)) for _, file in files], names
        )
        is_test = np.concatenate(
            [np.full(len(part), in_test) for (in_test, _), part in zip(files, numbers, strict=True)]
        )
        require_test(is_test, given=any(in_test for in_test, _ in files), where=self.path)
        left = sorted(self._parts().keys() - {"", TRAIN, self._test_part()})
        return Labels(
            labels=np.concatenate(numbers),
            is_test=is_test,
            class_names=names,
            image_shape=self._shape(),
            notes=(f"{self.path}: parts that are not read: {', '.join(left)}",) if left else (),
        )

    def read_images(self) -> np.ndarray:
        """`N x C x H x W`, uint8, decoded in threads."""
        counts = [count_of(file) for _, file in self._files()]
        return self._decoded(np.arange(sum(counts)))

    def read_some(self, rows: np.ndarray) -> np.ndarray:
        """Images of some examples alone, `n x C x H x W`."""
        return self._decoded(rows)

    def _decoded(self, rows: np.ndarray) -> np.ndarray:
        shape = self._shape()
        places = {row: place for place, row in enumerate(rows.tolist())}
        images = np.empty((len(rows), *shape), dtype=np.uint8)
        cells = self._cells(rows)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            while some := list(islice(cells, ROWS)):
                made = pool.map(lambda cell: self._pixels(cell[2], shape, cell[1]), some)
                for (row, _, _), image in zip(some, made, strict=True):
                    images[places[row]] = image
        return images

    def _cells(self, rows: np.ndarray) -> Iterator[tuple[int, str, bytes]]:
        """Row, where it stands, and what it holds, of the rows that are wanted."""
        start, column = 0, self._image_column()
        for _, file in self._files():
            count = count_of(file)
            wanted = rows[(rows >= start) & (rows < start + count)] - start
            for row, cell in encoded_images(file, column, wanted) if len(wanted) else ():
                yield start + row, f"{file}: row {row + 1}", cell
            start += count

    def _pixels(self, cell: bytes, shape: tuple[int, int, int], where: str) -> np.ndarray:
        channels, height, width = shape
        if self.image_size:
            size = self.image_size
            return decode(
                cell, Geometry(channels=channels, size=size, resize=size, background=self.background), where
            )
        image = load_image(cell, _MODES[channels], where=where, background=self.background)
        if image.size != (width, height):
            raise AuditError(
                f"{where}: expected {width} x {height} pixels, as the first image has, got {image.size[0]} x "
                f"{image.size[1]}; image_size = {min(width, height)} makes all of one size"
            )
        pixels = np.asarray(image)
        return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)

    def _shape(self) -> tuple[int, int, int]:
        if self.image_size and self.channels:
            return self.channels, self.image_size, self.image_size
        file = self._files()[0][1]
        for _, cell in encoded_images(file, self._image_column(), np.array([0])):
            channels, height, width = shape_of(cell, f"{file}: row 1")
            if self.image_size:
                height = width = self.image_size
            return self.channels or channels, height, width
        raise AuditError(f"{file}: expected rows, got none")

    def _columns(self) -> Columns:
        return columns_of(self._files()[0][1])

    def _image_column(self) -> str:
        return self._columns().image_column(self.image_column, str(self._files()[0][1]))

    def _label_column(self) -> str:
        return self._columns().label_column(self.label_column, str(self._files()[0][1]))

    def _test_part(self) -> str:
        return next((name for name in TESTS if name in self._parts()), "")

    def _parts(self) -> dict[str, list[Path]]:
        return table_parts(Path(os.path.expanduser(self.path)))

    def _files(self) -> list[tuple[bool, Path]]:
        """Files in canonical order, and whether each is of the test part."""
        parts = self._parts()
        files = [(False, file) for file in parts.get(TRAIN, parts.get("", []))]
        files += [(True, file) for file in parts.get(self._test_part(), []) if self._test_part()]
        if self.test_path:
            if not Path(os.path.expanduser(self.path)).is_file():
                raise AuditError(f"test_path: expected none, as the test part is found in {self.path}")
            files += [(True, file) for file in table_parts(Path(os.path.expanduser(self.test_path)))[""]]
        if files and not files[0][0]:
            return files
        raise AuditError(f"{self.path}: expected a part train, found {', '.join(parts)}")
