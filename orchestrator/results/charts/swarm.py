"""Dots of one row that do not cover each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

MOST = 5
"""Dots above, and below, the middle of a row before they are drawn over one another."""


def swarm(values: Sequence[float], *, width: float) -> list[float]:
    """How far each dot is moved up or down, in [-1, 1]: those nearest 0 stay in the middle.

    Args:
        values: where the dots stand.
        width: what a dot takes on the same scale.
    """
    taken: dict[int, int] = defaultdict(int)
    moved = [0.0] * len(values)
    for i in sorted(range(len(values)), key=lambda i: abs(values[i])):
        place = round(values[i] / width)
        rank = taken[place]
        taken[place] += 1
        side = -1 if rank % 2 else 1
        moved[i] = round(max(-1.0, min(1.0, side * ((rank + 1) // 2) / MOST)), 2)
    return moved
