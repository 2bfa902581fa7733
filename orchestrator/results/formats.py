"""Query results as bytes: aligned text, CSV, Markdown, LaTeX, JSON, Parquet, Arrow."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args

import pyarrow as pa

from orchestrator.results.aligned import (
    intervals,
    is_numeric,
    labelled,
    markdown_lines,
    short,
    table_lines,
    text_columns,
    without_dust,
)
from orchestrator.results.forms import Format
from orchestrator.results.latex import decimal, defined, escape, tabular
from tasks.metrics.base import Direction

COMPARED = ("value", "mean", "gap")
"""Columns in which the best of the rows that answer the same question is set bold."""
PLACE = {
    *("dataset", "architecture", "forget_set", "attack", "metric", "split", "variant", "game", "label"),
    *("param", "eps", "definition", "layer", "conditions"),
}
"""Columns in which rows differ that answer different questions; in all others they compete."""


def render(table: pa.Table, form: Format) -> bytes:
    """The whole table in one form; text is UTF-8 and ends with a line break."""
    return _WRITERS[form](table)


def _table(table: pa.Table) -> bytes:
    return _lines(table_lines(text_columns(table)))


def _markdown(table: pa.Table) -> bytes:
    return _lines(markdown_lines(text_columns(table)))


def _csv(table: pa.Table) -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        writer.writerow(
            [value.isoformat() if isinstance(value, datetime) else value for value in row.values()]
        )
    return sink.getvalue().encode()


def _json(table: pa.Table) -> bytes:
    rows = [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]
    return _lines([json.dumps(rows, indent=1, ensure_ascii=False)])


def _plain(value: Any) -> Any:
    """JSON has neither times, bytes nor numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (bool, int, float, str, list, dict, type(None))) else str(value)


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _latex(table: pa.Table) -> bytes:
    """A booktabs tabular: value and interval in one column, the best of comparable rows bold."""
    bold = best_rows(table)
    table = labelled(table)
    ends = intervals(table.column_names)
    folded = {name for pair in ends.values() for name in pair}
    shown = [name for name in table.column_names if name not in folded]
    rows = table.to_pylist()
    body = []
    for index, row in enumerate(rows):
        body.append([_latex_cell(row, name, ends.get(name), bold=(index, name) in bold) for name in shown])
    columns = "".join("r" if is_numeric(table.schema.field(name).type) else "l" for name in shown)
    return _lines(defined(tabular(columns, [escape(name.replace("_", " ")) for name in shown], [body])))


def _latex_cell(row: dict[str, Any], name: str, ends: tuple[str, str] | None, *, bold: bool) -> str:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return escape(short(value))
    text = decimal(without_dust(value))
    if ends is not None and row[ends[0]] is not None and row[ends[1]] is not None:
        low, high = (decimal(without_dust(row[end])) for end in ends)
        text += f"\\,[{low}, {high}]"
    return rf"$\mathbf{{{text}}}$" if bold else f"${text}$"


def best_rows(table: pa.Table) -> set[tuple[int, str]]:
    """Row and column of the best value among rows that answer the same question, by `higher_is`.

    Rows answer the same question when they agree in every column of `PLACE`. `closer_to_retrained` needs a column
    `difference` or `retrained`; without either no row is best.
    """
    names = table.column_names
    column = next((name for name in COMPARED if name in names), None)
    if column is None or "higher_is" not in names:
        return set()
    question = [name for name in names if name in PLACE]
    groups: dict[tuple, list[tuple[float, int]]] = {}
    for index, row in enumerate(table.to_pylist()):
        loss = _loss(row, column)
        if loss is not None and not math.isnan(loss) and row.get("role", "audited") == "audited":
            groups.setdefault(tuple(row[name] for name in question), []).append((loss, index))
    best = set()
    for group in groups.values():
        least = min(loss for loss, _ in group)
        best |= {(index, column) for loss, index in group if loss == least and len(group) > 1}
    return best


def _loss(row: dict[str, Any], column: str) -> float | None:
    """How far a row is from what `higher_is` asks for; None where it cannot be told."""
    value, wish = row[column], row["higher_is"]
    if value is None or wish not in get_args(Direction):
        return None
    if wish != "closer_to_retrained":
        return float(-value if wish == "better" else value)
    if row.get("difference") is not None:
        return abs(float(row["difference"]))
    return abs(float(value) - float(row["retrained"])) if row.get("retrained") is not None else None


def _lines(lines: Any) -> bytes:
    return ("\n".join(lines) + "\n").encode()


_WRITERS: dict[Format, Callable[[pa.Table], bytes]] = {
    "table": _table,
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
    "json": _json,
    "parquet": _parquet,
    "arrow": _arrow,
}
