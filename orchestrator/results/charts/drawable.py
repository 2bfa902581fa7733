"""The rows that a chart can draw: those that stand at a finite number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.results.charts.answers import Row

POSITIONS = ("value", "x", "y")
ENDS = (("low", "high"), ("x_low", "x_high"), ("y_low", "y_high"))
"""Columns of intervals; a drawing takes an end that is missing for 0."""


def drawable(rows: Sequence[Row]) -> list[Row]:
    """The rows of a chart without those whose position is not finite; intervals with such an end are left out.

    Args:
        rows: of one chart, all with the same columns.
    """
    positions = [name for name in POSITIONS if rows and name in rows[0]]
    ends = [pair for pair in ENDS if rows and pair[0] in rows[0]]
    # A sum is finite only where all that is added is: of hundreds of thousands of rows mostly all.
    columns = [*positions, *(name for pair in ends for name in pair)]
    if all(math.isfinite(sum(row[name] or 0.0 for row in rows)) for name in columns):
        return list(rows)
    found = []
    for row in rows:
        if all(_is_finite(row[name]) for name in positions):
            unknown = [pair for pair in ends if not all(_is_finite(row[name]) for name in pair)]
            found.append(row | dict.fromkeys(name for pair in unknown for name in pair) if unknown else row)
    return found


def _is_finite(value: float | None) -> bool:
    return value is None or math.isfinite(value)
