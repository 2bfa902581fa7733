"""Names beside dots, where there is room; those that would lie over another or over a dot the pointer says."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from orchestrator.results.charts.answers import Row

WIDTHS = {"side_narrow": 240, "side": 440, "side_wide": 620}
"""Points that dots spread over at least: on a phone or in a column of a paper, across a paper, in a page; by field."""
LONGEST = 180
"""Points of a name at most; what is longer ends in dots."""
CHARACTER = 5.6
"""Points of one at most on average; ideographs and emoji take two."""
BESIDE = 8
"""Points between the middle of a dot and its name."""
STEP = 4
"""Points across by which room is given away."""
LINES = 60
"""Down the height, of which a name takes two."""
EDGE = 0.75
"""Share of the width from which the left side is tried first."""


def named_apart(rows: list[Row], *choices: str, log_x: bool = False) -> list[Row]:
    """The rows, and for each of `WIDTHS` on which side of its dot a name stands: `left`, `right`, or empty for none.

    Controls come first, then the dots at the edges. A control's name may lie over dots. `name` is empty where it stands
    at no width.

    Args:
        rows: of `marks.points`.
        choices: columns of which a drawing has one value each, beside the place.
        log_x: whether x is drawn on a log scale.
    """
    drawings: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        drawings[tuple(row[n] for n in ("dataset", "architecture", "forget_set", *choices))].append(row)
        row.update(dict.fromkeys(WIDTHS, ""))
    for drawing in drawings.values():
        if drawn := [row for row in drawing if math.isfinite(row["x"]) and math.isfinite(row["y"])]:
            _place(drawn, log_x=log_x)
    for row in rows:
        if not any(row[side] for side in WIDTHS):
            row["name"] = ""
    return rows


def _place(drawing: list[Row], *, log_x: bool) -> None:
    xs, ys = _shares(drawing, "x", log=log_x), _shares(drawing, "y")
    middle = sum(ys) / len(ys)
    order = sorted(range(len(drawing)), key=lambda i: (drawing[i]["role"] == "audited", -abs(ys[i] - middle)))
    for field, width in WIDTHS.items():
        room = _Room(width, xs, ys)
        for i in order:
            drawing[i][field] = room.side(xs[i], ys[i], drawing[i])


class _Room:
    """What is taken of a drawing: of each line the steps across, as bits of a number."""

    def __init__(self, width: int, xs: Sequence[float], ys: Sequence[float]) -> None:
        self._width = width
        self._names: dict[int, int] = defaultdict(int)
        self._dots: dict[int, int] = defaultdict(int)
        for x, y in zip(xs, ys, strict=True):
            self._dots[round(y * LINES)] |= 1 << int(x * width / STEP)

    def side(self, x: float, y: float, row: Row) -> str:
        """Where the name of a dot stands, which takes that room; empty where there is none."""
        if not row["name"]:
            return ""
        long, line = min(LONGEST, CHARACTER * _characters(row["name"])), round(y * LINES)
        for side in ("left", "right") if x > EDGE else ("right", "left"):
            start = x * self._width + (BESIDE if side == "right" else -BESIDE - long)
            if start < 0 or start + long > self._width:
                continue
            first = int(start / STEP)
            bits = (1 << int((start + long) / STEP) + 1) - (1 << first)
            near = range(line - 2, line + 3)
            over_dots = row["role"] == "audited" and any(self._dots[at] & bits for at in near)
            if not over_dots and not any(self._names[at] & bits for at in near):
                self._names[line] |= bits
                return side
        return ""


def _characters(name: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in name)


def _shares(drawing: list[Row], field: str, *, log: bool = False) -> list[float]:
    """Where the dots stand between the ends of their axis, which holds all intervals."""
    scale = math.log if log else float
    ends = [row[f"{field}_{end}"] for row in drawing for end in ("low", "high")]
    stand = (*ends, *(row[field] for row in drawing))
    known = [scale(v) for v in stand if v is not None and math.isfinite(v)]
    lowest, reach = min(known), (max(known) - min(known)) or 1.0
    return [(scale(row[field]) - lowest) / reach for row in drawing]
