"""Dots of one line that do not cover each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

MOST = 5
"""Dots above, and below, the middle of a line before they are drawn over one another."""


def swarm(values: ArrayLike, lines: ArrayLike, widths: ArrayLike) -> list[float]:
    """How far each dot is moved up or down, in [-1, 1]: those nearest 0 stay in the middle.

    Args:
        values: where the dots stand.
        lines: the number of the line that each stands on.
        widths: what each takes on the same scale.
    """
    stands, line = np.asarray(values, float), np.asarray(lines, int)
    place = np.rint(stands / np.asarray(widths, float))
    order = np.lexsort((np.abs(stands), place, line))
    begins = np.ones(len(order), bool)
    begins[1:] = (np.diff(line[order]) != 0) | (np.diff(place[order]) != 0)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order)) - first
    moved = np.where(rank % 2, -1, 1) * ((rank + 1) // 2) / MOST
    found: list[float] = np.clip(moved, -1.0, 1.0).tolist()
    return found
