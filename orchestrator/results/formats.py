"""Query results as text or bytes: aligned text, CSV, Markdown, LaTeX, JSON, Parquet, Arrow."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, get_args

import pyarrow as pa

from orchestrator.errors import printable
from orchestrator.results.forms import Format
from tasks.metrics.base import Direction

INTERVALS = (("{}_low", "{}_high"), ("ci_low", "ci_high"))
"""Names of the columns with the ends of a column's interval; the second pair belongs to `value`."""
COMPARED = ("value", "mean", "gap")
"""Columns in which the best of the rows that answer the same question is set bold."""
LABEL = "setting_label"
DIGESTS = ("setting", "other_setting", "conditions")
"""Columns that a column of labels stands for."""
DUST = 1e-12
"""Magnitude below which text shows 0: sums of a thousand terms near 1 err by as much. Data forms keep the value."""
PLACE = {
    *("dataset", "architecture", "forget_set", "attack", "metric", "split", "variant", "game", "label"),
    *("param", "eps", "definition", "layer", "conditions"),
}
"""Columns in which rows differ that answer different questions; in all others they compete."""
LATEX_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def render(table: pa.Table, form: Format) -> bytes:
    """The whole table in one form; text is UTF-8 and ends with a line break."""
    return _WRITERS[form](table)


def _labelled(table: pa.Table) -> pa.Table:
    """The columns for people: labels where they say something, in place of digests."""
    labels = [name for name in table.column_names if name.endswith(LABEL)]
    if not labels:
        return table
    silent = [name for name in labels if not any(table[name].to_pylist())]
    return table.drop_columns([*silent, *(name for name in DIGESTS if name in table.column_names)])


def short(value: Any) -> str:
    """A value as people read it: four significant digits, nothing for null, times to the second."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{_without_dust(value):.4g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return printable(str(value))


def _without_dust(value: float) -> float:
    """Zero for what only rounding errors have kept from it."""
    return 0.0 if abs(value) < DUST else value


def _cells(table: pa.Table) -> list[list[str]]:
    columns = [[short(value) for value in column.to_pylist()] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _aligned(table: pa.Table, rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows padded to equal widths, numbers to the right."""
    names = [printable(name) for name in table.column_names]
    widths = [max([len(name), *(len(row[i]) for row in rows)]) for i, name in enumerate(names)]
    right = [_numeric(field.type) for field in table.schema]

    def pad(row: Sequence[str]) -> list[str]:
        sides = zip(row, widths, right, strict=True)
        return [text.rjust(width) if to_right else text.ljust(width) for text, width, to_right in sides]

    return pad(names), [pad(row) for row in rows]


def _table(table: pa.Table) -> bytes:
    table = _labelled(table)
    heading, rows = _aligned(table, _cells(table))
    rule = ["-" * len(name) for name in heading]
    count = f"({table.num_rows} row{'' if table.num_rows == 1 else 's'})"
    return _lines([*("  ".join(row).rstrip() for row in (heading, rule, *rows)), count])


def _markdown(table: pa.Table) -> bytes:
    table = _labelled(table)
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in row] for row in _cells(table)]
    heading, rows = _aligned(table, escaped)
    kinds = zip(heading, table.schema, strict=True)
    rule = ["-" * (len(text) - 1) + (":" if _numeric(field.type) else "-") for text, field in kinds]
    return _lines("| " + " | ".join(row) + " |" for row in (heading, rule, *rows))


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
    table = _labelled(table)
    intervals = _intervals(table.column_names)
    folded = {name for pair in intervals.values() for name in pair}
    shown = [name for name in table.column_names if name not in folded]
    rows = table.to_pylist()
    body = []
    for index, row in enumerate(rows):
        texts = [_latex_cell(row, name, intervals.get(name), bold=(index, name) in bold) for name in shown]
        body.append(" & ".join(texts) + r" \\")
    columns = "".join("r" if _numeric(table.schema.field(name).type) else "l" for name in shown)
    heading = " & ".join(_escape(printable(name).replace("_", " ")) for name in shown) + r" \\"
    first, last = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return _lines([first, r"\toprule", heading, r"\midrule", *body, r"\bottomrule", last])


def _intervals(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """For each column with an interval the names of its ends."""
    found = {}
    for name in names:
        for low, high in INTERVALS:
            ends = (low.format(name), high.format(name))
            own = "{}" in low or name == "value"
            if own and ends[0] in names and ends[1] in names:
                found[name] = ends
    return found


def _latex_cell(row: dict[str, Any], name: str, ends: tuple[str, str] | None, *, bold: bool) -> str:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _escape(short(value))
    text = _decimal(value)
    if ends is not None and row[ends[0]] is not None and row[ends[1]] is not None:
        text += f"\\,[{_decimal(row[ends[0]])}, {_decimal(row[ends[1]])}]"
    return rf"$\mathbf{{{text}}}$" if bold else f"${text}$"


def _decimal(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return r"\infty" if value > 0 else r"-\infty" if value < 0 else r"\mathrm{nan}"
    value = _without_dust(value)
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        return rf"{mantissa} \times 10^{{{int(exponent)}}}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


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


def _escape(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(character, character) for character in text)


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
