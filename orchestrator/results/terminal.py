"""An answer on a terminal: what rows share said once, long texts shortened, and the columns that there is room for."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size

from orchestrator.results.aligned import SPACE, Column, intervals

SHORTEST = 12
"""Cells that a text keeps at least when it is shortened."""
ELLIPSIS = "…"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What is shown of an answer."""

    columns: tuple[Column, ...]
    shared: tuple[str, ...] = ()
    """Columns that have one value in all rows, each with that value."""
    left_out: tuple[str, ...] = ()
    """Columns for which there is no room."""


def room() -> int | None:
    """Cells of a line of the terminal that stdout is; None where it is a file or a pipe, which get everything."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fit(columns: Sequence[Column], width: int, kept: Sequence[str] = ()) -> Fitted:
    """The part of an answer that a terminal has room for; all of it, unchanged, where it has room for that.

    Columns that have one value in all rows are folded, the ends of an interval stand behind its value, headings take
    several lines, texts are shortened, never numbers. Where that is not enough the last columns are left out: the
    first matter most. Those that are kept stay in their place while others go; of them the last stays longest.

    Args:
        columns: the answer.
        width: cells of a line.
        kept: names of columns that say of what a row is, and what the answer is.
    """
    columns = [_on_one_line(column) for column in columns]
    if line_width(columns) <= width:
        return Fitted(columns=tuple(columns))
    columns, shared = _without_shared(_with_intervals(columns))
    if line_width(columns) > width:
        columns = [_broken(column) for column in columns]
    stay = _staying(columns, width, kept)
    left_out = tuple(_name(column) for i, column in enumerate(columns) if i not in stay)
    return Fitted(
        columns=tuple(_shortened([columns[i] for i in stay], width)), shared=shared, left_out=left_out
    )


def _staying(columns: Sequence[Column], width: int, kept: Sequence[str]) -> list[int]:
    """Places of the columns that there is room for: as many of the first as fit beside those that are kept."""

    def fits(places: Sequence[int]) -> bool:
        return line_width(_shortened([columns[i] for i in places], width)) <= width

    must = [i for i, column in enumerate(columns) if _name(column) in kept]
    while len(must) > 1 and not fits(must):
        must.pop(-2)
    for count in range(len(columns), -1, -1):
        stay = sorted({*range(count), *must})
        # One end of an interval says less than none.
        half = 1 < count < len(columns) and _name(columns[count - 1]).endswith("_low")
        if stay and not half and (fits(stay) or len(stay) <= max(1, len(must))):
            return stay
    return []


def _name(column: Column) -> str:
    """As it was before its heading took several lines."""
    return column.name.replace("\n", "")


def line_width(columns: Sequence[Column]) -> int:
    """Cells of a line of them."""
    return sum(column.width for column in columns) + len(SPACE) * max(len(columns) - 1, 0)


def _on_one_line(column: Column) -> Column:
    return replace(column, texts=tuple(" ".join(text.split("\n")) for text in column.texts))


def _with_intervals(columns: Sequence[Column]) -> list[Column]:
    """The ends of an interval behind its value, in place of columns of their own."""
    by_name = {column.name: column for column in columns}
    ends = intervals(list(by_name)) if len(by_name) == len(columns) else {}
    folded = {name for pair in ends.values() for name in pair}
    made = []
    for column in columns:
        if column.name in ends:
            low, high = (by_name[name].texts for name in ends[column.name])
            texts = (_between(*each) for each in zip(column.texts, low, high, strict=True))
            column = replace(column, texts=tuple(texts))
        if column.name not in folded:
            made.append(column)
    return made


def _between(value: str, low: str, high: str) -> str:
    return f"{value} [{float(low):.3g}, {float(high):.3g}]" if low and high else value


def _without_shared(columns: list[Column]) -> tuple[list[Column], tuple[str, ...]]:
    """The columns in which rows differ, and what is the same in all."""
    same = [c for c in columns if len(c.texts) > 1 and len(set(c.texts)) == 1]
    same = same[1:] if len(same) == len(columns) else same
    shared = tuple(f"{column.name} {column.texts[0]}" for column in same if column.texts[0])
    return [column for column in columns if not any(column is other for other in same)], shared


def _broken(column: Column) -> Column:
    """The heading on several lines, where it is wider than what stands below it."""
    room = max(map(cell_len, column.texts), default=0)
    lines = [""]
    for word in re.findall(r"[^_ ]*[_ ]?", column.name):
        if lines[-1] and cell_len((lines[-1] + word).rstrip()) > room:
            lines.append("")
        lines[-1] += word
    return replace(column, name="\n".join(line for line in lines if line))


def _shortened(columns: Sequence[Column], width: int) -> list[Column]:
    """Texts cut until a line has room, the widest column first, none below its heading or `SHORTEST`."""
    limits = [column.width if column.is_number else _least(column) for column in columns]
    widths = [column.width for column in columns]
    over = sum(widths) + len(SPACE) * (len(widths) - 1) - width
    while over > 0 and widths != limits:
        widest = max(range(len(widths)), key=lambda i: (widths[i] > limits[i], widths[i]))
        widths[widest] -= 1
        over -= 1
    return [_cut(column, wide) for column, wide in zip(columns, widths, strict=True)]


def _least(column: Column) -> int:
    heading = max(map(cell_len, column.name.split("\n")))
    return min(max(SHORTEST, heading), column.width)


def _cut(column: Column, width: int) -> Column:
    if column.width <= width:
        return column
    texts = (
        text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + ELLIPSIS
        for text in column.texts
    )
    return replace(column, texts=tuple(texts))
