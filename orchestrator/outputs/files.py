"""Arrays of outputs as they lie on disk, a few models at a time, whatever their format. Nothing is unpickled."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from orchestrator.outputs.parquet import rows_of_parquet
from tasks.datasets.archive import file_digest
from tasks.datasets.arrays import map_npy, npz_names, npz_shape, reading
from tasks.errors import AuditError, unknown_name

FORMATS = (".npy", ".npz", ".parquet")
LEAST_SUSPECT, MOST_PACKED = 1 << 28, 200
"""Bytes from which on an archive is suspected, and how many times its size it may then unpack to: numbers of models do
not repeat themselves so."""


class Rows(Protocol):
    """Arrays of equal shape, one for each model."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Models, and the shape of each array."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of the arrays."""
        ...

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def digest(self) -> str:
        """Of the content; of equal content in another format another."""
        ...

    def row(self, number: int) -> np.ndarray:
        """The array of one model."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class MappedRows:
    """The rows of an array in memory, or mapped from a file."""

    array: np.ndarray
    name: str
    digest: str

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Rows`."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """See `Rows`."""
        return self.array.dtype

    def row(self, number: int) -> np.ndarray:
        """See `Rows`."""
        return np.asarray(self.array[number])


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenRows:
    """Some of the rows."""

    rows: Rows
    numbers: range

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Rows`."""
        return (len(self.numbers), *self.rows.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """See `Rows`."""
        return self.rows.dtype

    @property
    def name(self) -> str:
        """See `Rows`."""
        return self.rows.name

    @property
    def digest(self) -> str:
        """See `Rows`."""
        return f"{self.rows.digest}[{self.numbers.start}:{self.numbers.stop}]"

    def row(self, number: int) -> np.ndarray:
        """See `Rows`."""
        return self.rows.row(self.numbers[number])


class Files:
    """Reads arrays; what has to be unpacked lies in a folder of its own, which goes with `close`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lethe-outputs-", ignore_cleanup_errors=True)

    def close(self) -> None:
        """Remove what was unpacked."""
        self._folder.cleanup()

    def rows(self, path: str, *, array: str = "", column: str = "value") -> Rows:
        """The array of a file.

        Args:
            path: .npy, .npz or .parquet.
            array: its name in a .npz; empty: the only one.
            column: of a .parquet, which has a row for each `model` and `example_id`.

        Raises:
            AuditError: there is no such file, it cannot be read, or claims what it does not hold.
        """
        file = Path(path)
        if file.suffix.lower() not in FORMATS:
            raise unknown_name("format", file.suffix or file.name, FORMATS, where=path)
        if not file.is_file():
            raise AuditError(f"{path}: no such file")
        if array and file.suffix.lower() != ".npz":
            raise AuditError(f"{path}: array: expected none but of a .npz, got '{array}'")
        if file.suffix.lower() == ".npy":
            return MappedRows(array=map_npy(file), name=path, digest=file_digest(file))
        if file.suffix.lower() == ".npz":
            return self._member(file, array)
        found = rows_of_parquet(file, column, self._scratch)
        return MappedRows(array=found, name=path, digest=f"{file_digest(file)}:{column}")

    def vector(self, path: str, *, kinds: str, what: str) -> np.ndarray:
        """The array of one dimension in a .npy or .npz file.

        Args:
            path: of the file.
            kinds: of NumPy's types, for instance "iu" for integers.
            what: was expected, for messages.
        """
        found = self.rows(path)
        if len(found.shape) != 1 or found.dtype.kind not in kinds:
            raise AuditError(f"{path}: expected {what}, got {found.dtype} of shape {found.shape}")
        assert isinstance(found, MappedRows)
        return np.array(found.array)

    def _scratch(self) -> Path:
        number = len(list(Path(self._folder.name).iterdir()))
        return Path(self._folder.name) / f"{number}.npy"

    def _member(self, file: Path, array: str) -> Rows:
        names = npz_names(file)
        if not array and len(names) != 1:
            raise AuditError(f"{file}: array: expected one of {', '.join(names[:20]) or 'none: it is empty'}")
        name = array or names[0]
        if name not in names:
            raise unknown_name("array", name, names, where=str(file))
        npz_shape(file, name)  # refuses a header that lies
        target = self._scratch()
        with reading(f"{file}: cannot read array '{name}'"), zipfile.ZipFile(file) as archive:
            member = archive.getinfo(f"{name}.npy")
            _check_unpacked(member, free=shutil.disk_usage(target.parent).free)
            with archive.open(member) as packed, target.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
        return MappedRows(array=map_npy(target), name=f"{file}: {name}", digest=f"{file_digest(file)}:{name}")


def _check_unpacked(member: zipfile.ZipInfo, *, free: int) -> None:
    size, packed = member.file_size, max(1, member.compress_size)
    if size > LEAST_SUSPECT and size > MOST_PACKED * packed:
        raise ValueError(f"{packed} bytes unpack to {size}, which no outputs of models do")
    if size > free:
        raise ValueError(
            f"it unpacks to {size} bytes, and {free} are free in {tempfile.gettempdir()}; set TMPDIR"
        )


def mask_of(rows: Rows, *, shape: tuple[int, int]) -> np.ndarray:
    """The whole of a mask, bool, `models x examples`.

    Raises:
        AuditError: it is of another type or shape.
    """
    if rows.dtype != np.bool_:
        raise AuditError(
            f"{rows.name}: expected a mask of bool, got {rows.dtype}; x.astype(bool) makes one of 0 and 1"
        )
    if rows.shape != shape:
        raise AuditError(
            f"{rows.name}: expected a mask of shape {shape} (models x examples), got {rows.shape}"
        )
    return np.stack([rows.row(number) for number in range(shape[0])])


def common(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> tuple[int, ...]:
    """The shape of one model's array that all have.

    Raises:
        AuditError: two differ; both are named.
    """
    first, shape = shapes[0]
    for name, other in shapes[1:]:
        if other != shape:
            raise AuditError(f"{name}: expected {_told(shape)} as in {first}, got {_told(other)}")
    return shape


def _told(shape: tuple[int, ...]) -> str:
    classes = f" and {shape[1]} classes" if len(shape) > 1 else ""
    return f"{shape[0]} examples{classes}"
