"""Outputs in Parquet files: a row for each model and example, scattered into an array on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from tasks.errors import AuditError

BATCH = 1 << 17
"""Rows that are in memory at once."""


def rows_of_parquet(path: Path, column: str, scratch: Callable[[], Path]) -> np.ndarray:
    """An array `models x examples`, or `models x examples x classes`, mapped from a file.

    Args:
        path: has the columns `model` and `example_id`, integers from 0, and the one that is asked for: numbers, bool,
            or lists of numbers that are equally long.
        column: what is asked for.
        scratch: names a new file to put the array in.

    Raises:
        AuditError: it cannot be read, lacks a column, or a value for a model and an example, or has one twice.
    """
    try:
        with parquet.ParquetFile(path) as file:
            missing = {"model", "example_id", column} - set(file.schema_arrow.names)
            if missing:
                known = ", ".join(file.schema_arrow.names[:20])
                raise AuditError(
                    f"{path}: expected the columns model, example_id and {column}; found {known}"
                )
            return _scattered(path, file, column, scratch)
    except (pa.ArrowException, OSError) as error:
        raise AuditError(f"{path}: cannot read this Parquet file: {error!s:.200}") from None


def _scattered(path: Path, file: parquet.ParquetFile, column: str, scratch: Callable[[], Path]) -> np.ndarray:
    shape = [1 + _largest(path, file, name) for name in ("model", "example_id")]
    if shape[0] * shape[1] != file.metadata.num_rows:
        raise AuditError(
            f"{path}: expected a row for each of {shape[0]} models and {shape[1]} examples, "
            f"got {file.metadata.num_rows}"
        )
    kind = file.schema_arrow.field(column).type
    target: np.ndarray | None = None
    seen = np.zeros(shape[0] * shape[1], dtype=bool)
    for batch in file.iter_batches(BATCH, columns=["model", "example_id", column]):
        flat = (
            batch["model"].cast(pa.int64()).to_numpy() * shape[1]
            + batch["example_id"].cast(pa.int64()).to_numpy()
        )
        values = _values(path, batch[column], kind)
        if target is None:
            target = np.lib.format.open_memmap(
                scratch(), mode="w+", dtype=values.dtype, shape=(*shape, *values.shape[1:])
            )
        if values.shape[1:] != target.shape[2:]:
            raise AuditError(
                f"{path}: {column}: expected {target.shape[2]} numbers in each list, got {values.shape[1]}"
            )
        if seen[flat].any() or len(np.unique(flat)) < len(flat):
            raise AuditError(f"{path}: expected one row for each model and example, got some twice")
        seen[flat] = True
        target.reshape(len(seen), *target.shape[2:])[flat] = values
    assert target is not None
    return target


def _largest(path: Path, file: parquet.ParquetFile, column: str) -> int:
    """The largest of the numbers from 0 in a column."""
    low, high = 0, -1
    for batch in file.iter_batches(BATCH, columns=[column]):
        values = batch[column]
        if not pa.types.is_integer(values.type) or values.null_count:
            raise AuditError(f"{path}: {column}: expected integers without nulls, got {values.type}")
        found = pc.min_max(values).as_py()
        if found["min"] is not None:
            low, high = min(low, found["min"]), max(high, found["max"])
    if low < 0 or high < 0:
        raise AuditError(f"{path}: {column}: expected numbers from 0, got {low if low < 0 else 'none'}")
    return high


def _values(path: Path, array: pa.Array, kind: pa.DataType) -> np.ndarray:
    if array.null_count:
        raise AuditError(f"{path}: expected no nulls, got {array.null_count}")
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.unique(pc.list_value_length(array)).to_pylist()
        inner = array.flatten()
        if len(lengths) == 1 and lengths[0] and not inner.null_count and pa.types.is_floating(inner.type):
            return np.asarray(inner.to_numpy(zero_copy_only=False)).reshape(len(array), lengths[0])
        raise AuditError(
            f"{path}: expected lists of equally many numbers, got lengths {lengths[:5]} of {inner.type}"
        )
    raise AuditError(f"{path}: expected numbers, bool or lists of numbers, got {kind}")
