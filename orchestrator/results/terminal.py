"""An answer on a terminal: what rows share said once, long texts shortened, and the columns that there is room for."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.text import Text

from orchestrator.results.aligned import SPACE, Column, intervals

SHORTEST = 12
"""Cells that a text keeps at least when it is shortened."""
NARROWEST = 6
"""Cells that it keeps in a terminal that has not even room for what is kept."""
NAME = "method"
"""The column by which a reader knows a model: of those that are kept only the last stays longer."""
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


def wrapped(text: str, width: int | None) -> list[str]:
    """Prose in lines of at most so many cells, broken at spaces where there are some; None: as it is."""
    if width is None:
        return [text]
    lines = Text(text).wrap(Console(width=width), width, overflow="fold")
    return [line.plain.rstrip() for line in lines]


def fit(columns: Sequence[Column], width: int, kept: Sequence[str] = ()) -> Fitted:
    """The part of an answer that a terminal has room for; all of it, unchanged, where it has room for that.

    Columns that have one value in all rows are folded, the ends of an interval stand behind its value, headings take
    several lines, texts are shortened, never numbers. Where that is not enough the last columns are left out: the
    first matter most. Those that are kept stay in their place while others go. Where not even they have room, the
    ends of their intervals go first; then their texts are cut to `NARROWEST` cells; then the least telling of them go.

    Args:
        columns: the answer.
        width: cells of a line.
        kept: names of columns that say of what a row is, and what the answer is.
    """
    columns = [_on_one_line(column) for column in columns]
    if line_width(columns) <= width:
        return Fitted(columns=tuple(columns))
    varying, shared = _without_shared(columns)
    named = _with_intervals(varying)
    made = _beside(named, width, kept)
    if made is None:
        named, bare = varying, _without_ends(varying)
        made = _beside(bare, width, kept) or _narrowest([c for c in bare if c.name in kept], width)
    there = {_name(column) for column in made}
    left_out = tuple(column.name for column in named if column.name not in there)
    return Fitted(columns=tuple(made), shared=shared, left_out=left_out)


def _beside(columns: Sequence[Column], width: int, kept: Sequence[str]) -> list[Column] | None:
    """What is kept, and what there is room for beside it; None where it has no room itself."""
    if line_width(columns) > width:
        columns = [_broken(column) for column in columns]
    must = [column for column in columns if _name(column) in kept]
    if line_width(_shortened(must, width)) > width:
        return None
    return _shortened(_staying(columns, width, kept), width)


def _narrowest(must: Sequence[Column], width: int) -> list[Column]:
    """What is kept, in less room than texts of `SHORTEST` cells take."""
    columns = [_broken(column, NARROWEST) for column in must]
    while len(columns) > 1 and line_width(_shortened(columns, width, NARROWEST)) > width:
        columns.pop(_least_telling(columns))
    made = _shortened(columns, width, NARROWEST)
    return [_broken(replace(column, name=_name(column)), column.width) for column in made]


def _least_telling(columns: Sequence[Column]) -> int:
    """The place of the column that goes first: numbers before texts, then the name; the last, the answer, stays."""
    names = [_name(column) for column in columns]
    first = NAME if NAME in names else names[0]
    others = [i for i, name in enumerate(names[:-1]) if name != first]
    numbers = [i for i in others if columns[i].is_number]
    return (numbers or others or [0])[-1]


def _staying(columns: Sequence[Column], width: int, kept: Sequence[str]) -> list[Column]:
    """The columns that there is room for: as many of the first as fit beside those that are kept."""
    must = [i for i, column in enumerate(columns) if _name(column) in kept]
    for count in range(len(columns), -1, -1):
        places = sorted({*range(count), *must})
        stay = [columns[i] for i in places]
        # One end of an interval says less than none.
        half = 1 < count < len(columns) and _name(columns[count - 1]).endswith("_low")
        fits = line_width(_shortened(stay, width)) <= width
        if stay and not half and (fits or len(stay) <= max(1, len(must))):
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
    ends = _ends(columns)
    made = []
    for column in columns:
        if column.name in ends:
            low, high = (by_name[name].texts for name in ends[column.name])
            texts = (_between(*each) for each in zip(column.texts, low, high, strict=True))
            column = replace(column, texts=tuple(texts))
        made.append(column)
    return _without_ends(made)


def _without_ends(columns: Sequence[Column]) -> list[Column]:
    folded = {name for pair in _ends(columns).values() for name in pair}
    return [column for column in columns if column.name not in folded]


def _ends(columns: Sequence[Column]) -> dict[str, tuple[str, str]]:
    """As `intervals`; of columns that share a name none."""
    names = [column.name for column in columns]
    return intervals(names) if len({*names}) == len(names) else {}


def _between(value: str, low: str, high: str) -> str:
    return f"{value} [{float(low):.3g}, {float(high):.3g}]" if low and high else value


def _without_shared(columns: list[Column]) -> tuple[list[Column], tuple[str, ...]]:
    """The columns in which rows differ, and what is the same in all."""
    same = [c for c in columns if len(c.texts) > 1 and len(set(c.texts)) == 1]
    same = same[1:] if len(same) == len(columns) else same
    shared = tuple(f"{column.name} {column.texts[0]}" for column in same if column.texts[0])
    return [column for column in columns if not any(column is other for other in same)], shared


def _broken(column: Column, longest: int | None = None) -> Column:
    """The heading on several lines, where it is wider than what stands below it.

    Args:
        column: with its heading on one line.
        longest: cells to which texts below it may be cut, and its words are broken.
    """
    cells = max(map(cell_len, column.texts), default=0)
    words = re.findall(r"[^_ ]*[_ ]?", column.name)
    if longest is not None:
        cells = max(longest, cells if column.is_number else 0)
        words = [part for word in words for part in chop_cells(word, cells)]
    lines = [""]
    for word in words:
        if lines[-1] and cell_len((lines[-1] + word).rstrip()) > cells:
            lines.append("")
        lines[-1] += word
    return replace(column, name="\n".join(line for line in lines if line))


def _shortened(columns: Sequence[Column], width: int, shortest: int = SHORTEST) -> list[Column]:
    """Texts cut until a line has room, the widest column first, none below its heading or the shortest."""
    limits = [column.width if column.is_number else _least(column, shortest) for column in columns]
    widths = [column.width for column in columns]
    over = sum(widths) + len(SPACE) * (len(widths) - 1) - width
    while over > 0 and widths != limits:
        widest = max(range(len(widths)), key=lambda i: (widths[i] > limits[i], widths[i]))
        widths[widest] -= 1
        over -= 1
    return [_cut(column, wide) for column, wide in zip(columns, widths, strict=True)]


def _least(column: Column, shortest: int) -> int:
    heading = max(map(cell_len, column.name.split("\n")))
    return min(max(shortest, heading), column.width)


def _cut(column: Column, width: int) -> Column:
    if column.width <= width:
        return column
    texts = (
        text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + ELLIPSIS
        for text in column.texts
    )
    return replace(column, texts=tuple(texts))
