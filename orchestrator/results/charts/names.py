"""Names beside dots: of those that would lie over each other one is kept, the pointer says the others."""

from __future__ import annotations

import math
from collections import defaultdict

from orchestrator.results.charts.answers import Row

BESIDE, BELOW = 0.26, 0.05
"""Shares of width and height that a name takes."""
EDGE = 0.75
"""Share of the width from which a name stands on the left of its dot."""


def named_apart(rows: list[Row], *choices: str, log_x: bool = False) -> list[Row]:
    """The rows with `name` empty where another one stands: of controls first, then from the edges.

    `flipped` says that a name stands on the left, for on the right there is no room.

    Args:
        rows: of `marks.points`.
        choices: columns of which a drawing has one value each, beside the place.
        log_x: whether x is drawn on a log scale.
    """
    drawings: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        drawings[tuple(row[n] for n in ("dataset", "architecture", "forget_set", *choices))].append(row)
    for drawing in drawings.values():
        _thin_out(drawing, log_x=log_x)
    return rows


def _thin_out(drawing: list[Row], *, log_x: bool) -> None:
    xs, ys = _shares(drawing, "x", log=log_x), _shares(drawing, "y")
    middle = sum(ys) / len(ys)
    kept: list[tuple[float, float]] = []
    for i in sorted(
        range(len(drawing)), key=lambda i: (drawing[i]["role"] == "audited", -abs(ys[i] - middle))
    ):
        row = drawing[i]
        row["flipped"] = xs[i] > EDGE
        start = xs[i] - BESIDE if row["flipped"] else xs[i]
        if any(abs(start - x) < BESIDE and abs(ys[i] - y) < BELOW for x, y in kept):
            row["name"] = ""
        elif row["name"]:
            kept.append((start, ys[i]))


def _shares(drawing: list[Row], field: str, *, log: bool = False) -> list[float]:
    """Where the dots stand between the ends of their axis, which holds all intervals."""
    scale = math.log if log else float
    ends = [row[f"{field}_{end}"] for row in drawing for end in ("low", "high")]
    known = [scale(v) for v in (*ends, *(row[field] for row in drawing)) if v is not None]
    lowest, reach = min(known), (max(known) - min(known)) or 1.0
    return [(scale(row[field]) - lowest) / reach for row in drawing]
