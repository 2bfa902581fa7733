"""Writes the table of a paper: LaTeX, Markdown, aligned text, or its numbers as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from orchestrator.errors import printable
from orchestrator.results.aligned import Column, markdown_lines, short, table_lines, without_dust
from orchestrator.results.formats import render
from orchestrator.results.forms import Format
from orchestrator.results.latex import decimal, defined, escape, fitted, stacked, tabular
from orchestrator.results.paper.best import best
from orchestrator.results.paper.columns import VERDICT, Key, listed
from orchestrator.results.paper.headings import heading, left_out
from orchestrator.results.paper.table import PaperTable, Row
from tasks.statistics.intervals import CONFIDENCE

Spread = Literal["sd", "interval"]


class Marks(NamedTuple):
    """How the best value is marked."""

    name: str
    around: str


BOLD, STAR = Marks("Bold", "**{}**"), Marks("*", "{}*")
SIGNS: Mapping[str, tuple[str, str]] = {
    "better": ("↑", "higher is better"),
    "worse": ("↓", "lower is better"),
    "closer_to_retrained": ("≈", "closer to the retrained model is better"),
}
"""Direction of a metric: its sign in a heading, and what that says."""
NONE = "\N{EN DASH}"
OF_DATA = ("mean", "sd", "mean_low", "mean_high", "seeds")


def write_paper(table: PaperTable, form: Format, spread: Spread) -> bytes:
    """The table in one form.

    Data forms (csv, json, parquet, arrow) hold every number in full: mean, sd, both ends of the interval and the
    number of seeds. The others show the mean and one of the two, and say in a caption which.
    """
    if form == "latex":
        return _latex(table, spread)
    if form in ("table", "markdown"):
        marks, lines = (BOLD, markdown_lines) if form == "markdown" else (STAR, table_lines)
        content = (caption_of(table, spread, marks), "", *lines(paper_columns(table, spread, marks.around)))
        return ("\n".join(content) + "\n").encode()
    return render(_data(table), form)


def caption_of(table: PaperTable, spread: Spread, marks: Marks) -> str:
    """What the table shows of what, which numbers stand beside a mean, and what is marked; plain text."""
    shared = ", ".join(
        f"{axis.replace('_', ' ')} {value}" for axis, value in table.fixed.items() if axis != "setting"
    )
    seeds = sorted({row["seeds"] for row in table.values.values()})
    over = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else _seeds(max(seeds, default=0))
    means = f"Mean {_beside(table, spread)} over {over}." if table.values else ""
    sentences = [f"{shared}." if shared else "", means]
    signs = [SIGNS[wish] for wish in SIGNS if wish in {row["higher_is"] for row in table.values.values()}]
    if signs:
        told = "; ".join(f"{sign} {words}" for sign, words in signs)
        sentences.append(
            f"{told}. {marks.name}: the best unlearned model of a column, and those that read the same; controls, "
            "which stand first, do not compete."
        )
    if any(key.metric == "cost" for key in table.columns):
        sentences.append("Cost: device seconds next to retraining.")
    sentences += [f"{said}." for said in left_out(table.columns)]
    return printable(" ".join(filter(None, sentences)))


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def _beside(table: PaperTable, spread: Spread) -> str:
    what = "standard deviation" if spread == "sd" else f"{100 * CONFIDENCE:.0f} % interval"
    without = [heading(key, table.columns) for key in table.columns if not _has(table, key, spread)]
    if len(without) == len(table.columns):
        why = "one seed has none" if spread == "sd" else "an interval takes three seeds"
        return f"without a {what} ({why})"
    joined = "± standard deviation" if spread == "sd" else f"[{what}]"
    return joined + (f" (none of {listed(without)})" if without else "")


def _has(table: PaperTable, key: Key, spread: Spread) -> bool:
    name = "sd" if spread == "sd" else "mean_low"
    return any(row[name] is not None for (_, column), row in table.values.items() if column == key)


def _headings(table: PaperTable, *, blank: str = " ") -> list[str]:
    """Of all columns, as people read them, with a blank before the sign of a direction."""
    wishes = {key: row["higher_is"] for (_, key), row in table.values.items()}
    signs = [SIGNS.get(wishes.get(key, ""), ("", ""))[0] for key in table.columns]
    named = [
        heading(key, table.columns) + (blank + sign if sign else "")
        for key, sign in zip(table.columns, signs, strict=True)
    ]
    return [axis.replace("_", " ") for axis in table.axes] + named + ([VERDICT] if table.verdict else [])


def _names(table: PaperTable, row: Row) -> list[str]:
    return [row[axis] for axis in table.axes]


def _verdict(table: PaperTable, row: Row) -> list[str]:
    return [row[VERDICT] or NONE] if table.verdict else []


def paper_columns(table: PaperTable, spread: Spread, around: str) -> list[Column]:
    """The table as texts: for Markdown and a terminal, and for LaTeX to take its widths from.

    Args:
        table: of a paper.
        spread: that stands beside each mean.
        around: what marks the best, with `{}` for its text.
    """
    winners = best(table)

    def cell(index: int, key: Key) -> str:
        row = table.values.get((index, key))
        if row is None or row["mean"] is None:
            return NONE
        return around.format(_plain(row, spread)) if (index, key) in winners else _plain(row, spread)

    rows = [
        [*_names(table, row), *(cell(index, key) for key in table.columns), *_verdict(table, row)]
        for index, row in enumerate(table.rows)
    ]
    return [
        Column(name=short(top), texts=tuple(map(short, texts)), is_number=0 <= place < len(table.columns))
        for place, (top, texts) in enumerate(
            zip(_headings(table), zip(*rows, strict=True), strict=True), start=-len(table.axes)
        )
    ]


def _plain(row: Row, spread: Spread) -> str:
    mean, shown = row["mean"], _shown_as(row["mean"])
    if spread == "sd":
        return shown(mean) if row["sd"] is None else f"{shown(mean)} ± {shown(row['sd'])}"
    if row["mean_low"] is None:
        return shown(mean)
    return f"{shown(mean)} [{shown(row['mean_low'])}, {shown(row['mean_high'])}]"


def _shown_as(mean: float) -> Callable[[float], str]:
    """How a mean and what stands beside it are written: with equal decimals, unless the mean is very small or large."""
    return "{:.3f}".format if _is_usual(mean) else short


def _is_usual(mean: float) -> bool:
    return without_dust(mean) == 0 or 1e-3 <= abs(mean) < 100


def _data(table: PaperTable) -> pa.Table:
    """Every number, a column each: `accuracy:forget`, `accuracy:forget_sd`, ..._low, _high, _seeds."""
    columns: dict[str, pa.Array] = {
        axis: pa.array([row[axis] for row in table.rows], pa.string()) for axis in (*table.axes, "role")
    }
    for key in table.columns:
        rows = [table.values.get((index, key), {}) for index in range(len(table.rows))]
        for name in OF_DATA:
            kind = pa.int64() if name == "seeds" else pa.float64()
            heading = key.text if name == "mean" else f"{key.text}_{name.removeprefix('mean_')}"
            columns[heading] = pa.array([row.get(name) for row in rows], kind)
    if table.verdict:
        columns[VERDICT] = pa.array([row[VERDICT] for row in table.rows], pa.string())
    return pa.table(columns)


def _latex(table: PaperTable, spread: Spread) -> bytes:
    winners, caption = best(table), caption_of(table, spread, BOLD)

    def cell(index: int, key: Key) -> str:
        row = table.values.get((index, key))
        if row is None or row["mean"] is None:
            return "--"
        text = _mathematics(row, spread)
        return rf"$\mathbf{{{text}}}$" if (index, key) in winners else f"${text}$"

    parts: list[list[list[str]]] = []
    before: Any = None
    for index, row in enumerate(table.rows):
        part = (table.place(row), row["role"] != "audited")
        if part != before:
            parts.append([])
        before = part
        names = [escape(name) for name in (*_names(table, row), *_verdict(table, row))]
        count = len(table.axes)
        parts[-1].append([*names[:count], *(cell(index, key) for key in table.columns), *names[count:]])
    columns = "l" * len(table.axes) + "r" * len(table.columns) + ("l" if table.verdict else "")
    headings = _headings(table, blank="\N{NO-BREAK SPACE}")
    below = [column.texts for column in paper_columns(table, spread, "{}")]
    widths = [max(map(len, (*text.split(" "), *texts))) for text, texts in zip(headings, below, strict=True)]
    top = list(map(stacked, headings, widths, columns))
    lines = [*fitted(widths), *tabular(columns, top, parts)]
    body = defined([rf"\caption{{{escape(caption)}}}", *lines])
    comments = (f"% {' '.join(caption.split())}", r"% needs \usepackage{booktabs}")
    return ("\n".join((*comments, r"\begin{table}", r"\centering", *body, r"\end{table}")) + "\n").encode()


def _mathematics(row: Row, spread: Spread) -> str:
    mean = row["mean"]
    shown: Callable[[float], str] = "{:.3f}".format if _is_usual(mean) else decimal
    if spread == "sd":
        return shown(mean) if row["sd"] is None else rf"{shown(mean)} \pm {shown(row['sd'])}"
    if row["mean_low"] is None:
        return shown(mean)
    return rf"{shown(mean)}\,[{shown(row['mean_low'])}, {shown(row['mean_high'])}]"
