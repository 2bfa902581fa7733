"""Rows of an answer in Python, of which there may be hundreds of thousands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as `to_pylist` has them, one after the other; equal texts of a column are one object."""
    names = table.column_names
    return (dict(zip(names, row, strict=True)) for row in tuples_of(table))


def tuples_of(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The values of each row, in the order of the columns."""
    return zip(*map(_values, table.columns), strict=True)


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not pa.types.is_string(column.type):
        return column.to_pylist()
    encoded = pa.concat_arrays(column.chunks or [pa.array([], column.type)]).dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    return [None if i is None else texts[i] for i in encoded.indices.to_pylist()]
