"""Rows of a Parquet file: text is published so, and nothing but pyarrow reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.errors import AuditError
from tasks.text.rows import Named


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Named]:
    """Where each row stands, counted from 1, and its fields.

    Args:
        path: of the file.
        columns: those to read, where the file has them.

    Raises:
        AuditError: the file is no Parquet file, text in it is not UTF-8, or two columns share a name that is read.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            held = [name for name in file.schema_arrow.names if name in columns]
            if not held:
                known = ", ".join(file.schema_arrow.names[:20])
                raise AuditError(f"{path}: expected a column of {', '.join(columns)}; found {known}")
            if doubled := sorted(name for name in {*held} if held.count(name) > 1):
                raise AuditError(f"{path}: expected one column '{doubled[0]}', got {held.count(doubled[0])}")
            rows = file.read(columns=held).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise AuditError(f"{path}: cannot read this Parquet file: {error!s:.200}") from None
    except UnicodeDecodeError as error:
        raise AuditError(f"{path}: expected UTF-8, got byte {error.object[error.start]:#04x}") from None
    for number, row in enumerate(rows, start=1):
        yield f"{path}: row {number}", row


def column_type(path: Path, column: str) -> str:
    """Type of a column of a file that has been read (`int64`, `halffloat`, `float`, `double`, ...)."""
    from pyarrow import parquet

    return str(parquet.read_schema(path).field(column).type)
