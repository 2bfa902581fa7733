"""Names beside dots: of those that would lie over each other one is kept, the pointer says the others."""

from __future__ import annotations

import math
from collections import defaultdict

from orchestrator.results.charts.answers import Row

BESIDE, BELOW = 0.2, 0.035
"""Shares of width and height that a name takes."""


def named_apart(rows: list[Row], *choices: str, log_x: bool = False) -> list[Row]:
    """The rows with `name` empty where another one stands: of doing nothing and retraining first, then from the edges.

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
    xs = [math.log(row["x"]) if log_x else row["x"] for row in drawing]
    ys = [row["y"] for row in drawing]
    wide, high = (max(xs) - min(xs)) or 1.0, (max(ys) - min(ys)) or 1.0
    kept: list[tuple[float, float]] = []
    middle = sum(ys) / len(ys)
    order = sorted(range(len(drawing)), key=lambda i: (drawing[i]["role"] == "audited", -abs(ys[i] - middle)))
    for i in order:
        x, y = xs[i] / wide, ys[i] / high
        if any(abs(x - a) < BESIDE and abs(y - b) < BELOW for a, b in kept):
            drawing[i]["name"] = ""
        elif drawing[i]["name"]:
            kept.append((x, y))
