"""What a table is: its columns, its key, which columns the path carries; and rows brought into its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from tasks.errors import AuditError, unknown_name

SCHEMA_VERSION = 4
"""Raised only when old files can no longer be read; a new column is added without raising it."""

STRING, BOOL, BINARY = pa.string(), pa.bool_(), pa.binary()
INT16, INT32, INT64 = pa.int16(), pa.int32(), pa.int64()
FLOAT32, FLOAT64 = pa.float32(), pa.float64()
TIME = pa.timestamp("us", tz="UTC")
CATEGORY = pa.dictionary(pa.int32(), pa.string())
PLACE = (
    *("dataset", "architecture", "method", "scope", "attack", "attack_family", "forget_set", "forget_digest"),
    *("role", "setting", "conditions", "shadow_set"),
)
"""Columns of text that say where a cell stands, in its plan as in its own row."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: a file per key, under directories named by the path columns."""

    name: str
    key: str
    """The column that names the file; every row of a file has the same value in it."""
    columns: Mapping[str, pa.DataType]
    path: tuple[str, ...] = ()
    """String columns that the path carries as `column=value`; they are not stored in the file."""
    required: tuple[str, ...] = field(default=())
    """Columns that may not be null, besides the key."""
    compactable: bool = False
    """Whether many small files are merged into one after a sweep."""

    @cached_property
    def file_schema(self) -> pa.Schema:
        """Columns inside a file, with the table and version as metadata."""
        metadata = {"table": self.name, "schema_version": str(SCHEMA_VERSION), "writer": "lethe"}
        stored = [(name, kind) for name, kind in self.columns.items() if name not in self.path]
        return pa.schema(stored, metadata=metadata)

    @cached_property
    def query_schema(self) -> pa.Schema:
        """Columns that queries see: those of the file, then those of the path."""
        return pa.schema([*self.file_schema, *((name, STRING) for name in self.path)])


def to_arrow(table: Table, rows: Sequence[Mapping[str, Any]] | pa.Table, *, key: str) -> pa.Table:
    """Turn rows into the file's schema, filling the key column.

    Args:
        table: the table that the rows are for.
        rows: mappings or an Arrow table; an absent column becomes null.
        key: value of the key column; rows that name it must name the same.

    Raises:
        AuditError: a column is unknown or has the wrong type, a required one is null, or a key differs.
    """
    arrow = rows if isinstance(rows, pa.Table) else _from_mappings(table, rows)
    for column in arrow.column_names:
        if column not in table.columns:
            raise unknown_name("column", column, table.columns, where=table.name)
    arrow = conform(arrow, table.file_schema)
    if table.key in table.file_schema.names:
        arrow = _with_key(table, arrow, key)
    for column in table.required:
        if column in table.file_schema.names and arrow[column].null_count:
            raise AuditError(f"{table.name}.{column}: expected a value in every row, got null ({key})")
    return arrow


def conform(arrow: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast to `schema`; columns that the table lacks are null, others are dropped."""
    if arrow.schema.equals(schema):
        return arrow.replace_schema_metadata(schema.metadata)
    places = {name: place for place, name in enumerate(arrow.column_names)}
    columns = []
    for entry in schema:
        column = arrow.column(places[entry.name]) if entry.name in places else None
        if column is None:
            columns.append(pa.nulls(len(arrow), entry.type))
        else:
            columns.append(column if column.type == entry.type else column.cast(entry.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _from_mappings(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    names = {name: None for row in rows for name in row}
    for name in names:
        if name not in table.columns:
            raise unknown_name("column", name, table.columns, where=table.name)
    columns = {}
    for name in names:
        try:
            columns[name] = pa.array([row.get(name) for row in rows], table.columns[name])
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise AuditError(f"{table.name}.{name}: expected {table.columns[name]}: {error}") from error
    return pa.table(columns) if columns else table.file_schema.empty_table()


def _with_key(table: Table, arrow: pa.Table, key: str) -> pa.Table:
    position = table.file_schema.get_field_index(table.key)
    column = arrow.column(position)
    if column.null_count == len(column):
        filled = pa.array([key] * len(arrow), STRING)
        return arrow.set_column(position, table.file_schema.field(position), filled)
    if column.unique().to_pylist() != [key]:
        raise AuditError(f"{table.name}.{table.key}: expected '{key}' in every row, as the file is named")
    return arrow
