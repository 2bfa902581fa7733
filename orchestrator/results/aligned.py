"""Rows as people read them: values as short texts, in columns of equal width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
from rich.cells import cell_len

from orchestrator.errors import printable

SPACE = "  "
INTERVALS = (("{}_low", "{}_high"), ("ci_low", "ci_high"))
"""Names of the columns with the ends of a column's interval; the second pair belongs to `value`."""
LABEL = "setting_label"
DIGESTS = ("setting", "other_setting", "conditions")
"""Columns that a column of labels stands for."""
DUST = 1e-12
"""Magnitude below which text shows 0: sums of a thousand terms near 1 err by as much. Data forms keep the value."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of texts."""

    name: str
    """The heading, which may have several lines."""
    texts: tuple[str, ...]
    is_number: bool
    """Numbers stand to the right, and are never shortened."""

    @property
    def width(self) -> int:
        """Cells of a terminal that it takes: a wide character takes two."""
        return max(map(cell_len, (*self.name.split("\n"), *self.texts)))


def text_columns(table: pa.Table) -> list[Column]:
    """The columns for people, as texts."""
    table = labelled(table)
    return [
        Column(
            name=printable(field.name),
            texts=tuple(short(value) for value in column.to_pylist()),
            is_number=is_numeric(field.type),
        )
        for field, column in zip(table.schema, table.columns, strict=True)
    ]


def labelled(table: pa.Table) -> pa.Table:
    """The table without digests: labels where they say something, in place of them."""
    labels = [name for name in table.column_names if name.endswith(LABEL)]
    if not labels:
        return table
    silent = [name for name in labels if not any(table[name].to_pylist())]
    return table.drop_columns([*silent, *(name for name in DIGESTS if name in table.column_names)])


def table_lines(columns: Sequence[Column]) -> list[str]:
    """Heading, rule, rows and their number."""
    padded, headings = aligned(columns), [column.name.split("\n") for column in columns]
    high = max(map(len, headings), default=0)
    above = zip(*([""] * (high - len(lines)) + lines for lines in headings), strict=True)
    heading = [
        [_pad(line, c.width, right=c.is_number) for line, c in zip(row, columns, strict=True)]
        for row in above
    ]
    rows = zip(*(column.texts for column in padded), strict=True)
    rule = ["-" * column.width for column in columns]
    count = len(columns[0].texts) if columns else 0
    lines = [SPACE.join(row).rstrip() for row in (*heading, rule, *rows)]
    return [*lines, f"({count} row{'' if count == 1 else 's'})"]


def markdown_lines(columns: Sequence[Column]) -> list[str]:
    """A table in Markdown."""
    padded = aligned([_in_markdown(column) for column in columns])
    rule = ["-" * (len(column.name) - 1) + (":" if column.is_number else "-") for column in padded]
    rows = zip(*(column.texts for column in padded), strict=True)
    return [f"| {' | '.join(row)} |" for row in ([column.name for column in padded], rule, *rows)]


def _in_markdown(column: Column) -> Column:
    def escaped(text: str) -> str:
        return text.replace("|", "\\|").replace("\n", " ")

    return replace(column, name=escaped(column.name), texts=tuple(map(escaped, column.texts)))


def aligned(columns: Sequence[Column]) -> list[Column]:
    """Each column padded to its width, numbers to the right."""
    padded = []
    for column in columns:
        width, right = column.width, column.is_number
        padded.append(
            replace(
                column,
                name=_pad(column.name, width, right=right),
                texts=tuple(_pad(text, width, right=right) for text in column.texts),
            )
        )
    return padded


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * max(width - cell_len(text), 0)
    return space + text if right else text + space


def short(value: Any) -> str:
    """A value as people read it: four significant digits, nothing for null, times to the second."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{without_dust(value):.4g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return printable(str(value))


def without_dust(value: float) -> float:
    """Zero for what only rounding errors have kept from it."""
    return 0.0 if isinstance(value, float) and abs(value) < DUST else value


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column is of numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def intervals(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """For each column with an interval the names of its ends."""
    found = {}
    for name in names:
        for low, high in INTERVALS:
            ends = (low.format(name), high.format(name))
            own = "{}" in low or name == "value"
            if own and ends[0] in names and ends[1] in names:
                found[name] = ends
    return found
