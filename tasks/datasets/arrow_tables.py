"""Columns of Parquet files, and of Arrow files as the package datasets saves them. Asks pyarrow when a file is read.

Nothing here hands on what pyarrow made but lists, bytes and NumPy arrays. Files are read a few rows at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import AuditError, unknown_name

ROWS = 256
"""Rows that are held at a time."""
LABELS = ("label", "labels", "target", "class", "y", "fine_label")
"""What a column of labels may be called, the likeliest first."""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a file are."""

    names: tuple[str, ...]
    images: tuple[str, ...]
    """Those of encoded images: bytes, or a struct with bytes; those that the file itself calls images, if any."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the classes of a column, where the file says them (ClassLabel of datasets)."""

    def image_column(self, asked: str, where: str) -> str:
        """The column of images that is asked for, or the only one.

        Raises:
            AuditError: it is no such column, or there is none, or several.
        """
        if asked and asked not in self.names:
            raise unknown_name("column", asked, self.names, where=f"image_column: {where}")
        if asked and asked not in self.images:
            raise AuditError(
                f"image_column: {where}: '{asked}': expected encoded images (bytes, or a struct with bytes), as PNG; "
                'arrays of pixels are read from name = "npz"'
            )
        return self._once(asked or self._only(self.images, "image_column", where), where)

    def label_column(self, asked: str, where: str) -> str:
        """Likewise of labels: one with names of classes, else one that is called so."""
        if asked and asked not in self.names:
            raise unknown_name("column", asked, self.names, where=f"label_column: {where}")
        known = [*self.classes] or [name for name in LABELS if name in self.names][:1]
        return self._once(asked or self._only(known, "label_column", where), where)

    def _only(self, found: Sequence[str], option: str, where: str) -> str:
        if len(found) != 1:
            raise AuditError(
                f"{option}: {where}: expected the name of one of the columns {', '.join(self.names[:20])}, as "
                f"{'several' if found else 'none'} may be meant"
            )
        return found[0]

    def _once(self, name: str, where: str) -> str:
        if self.names.count(name) > 1:
            raise AuditError(f"{where}: expected one column '{name}', got {self.names.count(name)}")
        return name


def columns_of(path: Path) -> Columns:
    """What the columns of a file are.

    Raises:
        AuditError: it is no Parquet or Arrow file.
    """
    import pyarrow as pa

    with _opened(path) as table:
        schema = table.schema
    told = _features(schema.metadata or {})
    encoded = [item.name for item in schema if _is_encoded(pa, item.type)]
    called = [name for name in encoded if told.get(name, {}).get("_type") == "Image"]
    classes = {
        name: tuple(map(str, one["names"]))
        for name, one in told.items()
        if one.get("_type") == "ClassLabel" and isinstance(one.get("names"), list) and name in schema.names
    }
    return Columns(names=tuple(schema.names), images=tuple(called or encoded), classes=classes)


def values_of(path: Path, column: str) -> np.ndarray:
    """The labels of a column, `n`, numbers or text.

    Raises:
        AuditError: one is missing, or they are no numbers or text.
    """
    import pyarrow as pa

    found, row = [], 0
    with _opened(path) as table:
        for part in table.batches(column):
            if part.null_count:
                at = row + int(np.flatnonzero(np.asarray(part.is_null()))[0])
                raise AuditError(f"{path}: row {at + 1}: '{column}': expected a label, got none")
            if pa.types.is_dictionary(part.type):
                part = part.dictionary_decode()
            kinds = (pa.types.is_primitive, pa.types.is_string, pa.types.is_large_string)
            if not any(is_kind(part.type) for is_kind in kinds):
                raise AuditError(
                    f"{path}: '{column}': expected whole numbers or names of classes, got {part.type!s:.80}"
                )
            values = part.to_numpy(zero_copy_only=False)
            found.append(values.astype(str) if values.dtype.kind == "O" else values)
            row += len(part)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def count_of(path: Path) -> int:
    """Rows of a file."""
    with _opened(path) as table:
        return table.rows


def encoded_images(path: Path, column: str, wanted: np.ndarray | None = None) -> Iterator[tuple[int, bytes]]:
    """Each row of a file, counted from 0, and the image in it, encoded.

    Args:
        path: of the file.
        column: see `Columns.images`.
        wanted: rows, in any order; None: all.

    Raises:
        AuditError: an image is missing, or lies in a file elsewhere.
    """
    with _opened(path) as table:
        for start, part in table.parts(column, wanted):
            rows = np.arange(start, start + len(part))
            for row in (rows if wanted is None else rows[np.isin(rows, wanted)]).tolist():
                yield row, _bytes_of(part[row - start].as_py(), f"{path}: row {row + 1}: '{column}'")


def _bytes_of(cell: Any, where: str) -> bytes:
    held = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(held, bytes):
        return held
    if isinstance(cell, dict) and cell.get("path"):
        raise AuditError(
            f"{where}: expected the image itself, got the path '{cell['path']!s:.80}'; to_parquet of the package "
            "datasets writes the images into the file"
        )
    raise AuditError(f"{where}: expected an image, got none")


def _is_encoded(pa: Any, kind: Any) -> bool:
    if pa.types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        return "bytes" in names and _is_binary(pa, kind.field("bytes").type)
    return _is_binary(pa, kind)


def _is_binary(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, dict[str, Any]]:
    """What the package datasets has written of each column."""
    try:
        told = json.loads(metadata.get(b"huggingface", b"{}"))
        found = told["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return (
        {name: one for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}
    )


@dataclass(frozen=True)
class _Table:
    """An open file of either kind."""

    file: Any
    is_parquet: bool

    @property
    def schema(self) -> Any:
        return self.file.schema_arrow if self.is_parquet else self.file.schema

    @property
    def rows(self) -> int:
        return int(self.file.metadata.num_rows if self.is_parquet else self.file.num_rows)

    def batches(self, column: str) -> Iterator[Any]:
        """A column, a few rows at a time."""
        return (part for _, part in self.parts(column, None))

    def parts(self, column: str, wanted: np.ndarray | None) -> Iterator[tuple[int, Any]]:
        """A column, a few rows at a time, and the first row of each; groups of rows that nobody wants are not read."""
        start = 0
        for rows, read in self._groups(column):
            if wanted is not None and not ((wanted >= start) & (wanted < start + rows)).any():
                start += rows
                continue
            for part in read():
                yield start, part
                start += len(part)

    def _groups(self, column: str) -> Iterator[tuple[int, Any]]:
        if self.is_parquet:
            for group in range(self.file.num_row_groups):
                rows = self.file.metadata.row_group(group).num_rows
                yield (
                    rows,
                    lambda group=group: (
                        batch.column(0)
                        for batch in self.file.iter_batches(
                            batch_size=ROWS, row_groups=[group], columns=[column]
                        )
                    ),
                )
        else:
            for batch in self.file.to_batches():
                found = batch.column(batch.schema.get_field_index(column))
                yield (
                    batch.num_rows,
                    lambda found=found: (found.slice(at, ROWS) for at in range(0, len(found), ROWS)),
                )


@contextmanager
def _opened(path: Path) -> Iterator[_Table]:
    import pyarrow as pa
    from pyarrow import ipc, parquet

    if not path.is_file():
        raise AuditError(f"path: no file {path}")
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if is_parquet or path.suffix == ".parquet":
            with parquet.ParquetFile(path) as table:
                yield _Table(table, True)
        else:
            with pa.memory_map(str(path)) as mapped:
                yield _Table(_arrow(ipc, pa, mapped), False)
    except (pa.ArrowException, OSError) as error:
        raise AuditError(f"{path}: cannot read this Parquet or Arrow file: {error!s:.200}") from None
    except UnicodeDecodeError as error:
        raise AuditError(f"{path}: expected UTF-8, got byte {error.object[error.start]:#04x}") from None


def _arrow(ipc: Any, pa: Any, mapped: Any) -> Any:
    """The rows of an Arrow file, left where they lie: a stream, as datasets writes it, or one with a footer."""
    try:
        return ipc.open_stream(mapped).read_all()
    except pa.ArrowInvalid:
        mapped.seek(0)
        return ipc.open_file(mapped).read_all()
