"""Rows of one group timed in turn, round after round: clocks, heat and neighbours disturb all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.benchmarks.gpu.session import Session


@dataclass(frozen=True)
class Row:
    """Work that is timed."""

    run: Callable[[int], object]
    """Does that many steps, and need not wait for the device."""
    examples: int
    """Of a step, over all its models."""
    most_steps: int = 10_000
    """That one call can do."""
    gib: float = 0.0
    """Most memory that its preparation took."""


@dataclass(frozen=True)
class Timing:
    """Medians over the rounds, in seconds a step."""

    seconds: float
    host: float
    """Until the host had launched it."""
    spread: float
    """Between the slowest and the fastest round, as a share of the median."""


def side_by_side(session: Session, rows: Mapping[str, Row]) -> dict[str, Timing]:
    """Time rows in turn; what fails is reported and left out, and where time is short slices are too."""
    steps = {
        name: count for name, row in rows.items() if (count := _calibrate(session, name, row, len(rows)))
    }
    timed: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(session.sizes.rounds):
        for name in [name for name in timed if session.left > 0 or not timed[name]]:
            found = session.attempt(name, lambda: _seconds(session, rows[name], steps[name]))  # noqa: B023
            if found is None:
                del timed[name]
            else:
                timed[name].append(found)
    return {name: _timing(found) for name, found in timed.items()}


def _calibrate(session: Session, name: str, row: Row, count: int) -> int:
    """Steps that fill a slice; 0 where the row fails."""

    def once() -> float:
        row.run(1)
        return _seconds(session, row, min(session.sizes.calibrating, row.most_steps))[0]

    seconds = session.attempt(name, once)
    if seconds is None:
        return 0
    share = session.left / (3 * session.sizes.rounds * count)
    return max(1, min(row.most_steps, int(min(session.sizes.slice_seconds, share) / max(seconds, 1e-7))))


def _seconds(session: Session, row: Row, steps: int) -> tuple[float, float]:
    session.synchronise()
    began = time.perf_counter()
    row.run(steps)
    host = time.perf_counter() - began
    session.synchronise()
    return (time.perf_counter() - began) / steps, host / steps


def _timing(found: list[tuple[float, float]]) -> Timing:
    wall = [seconds for seconds, _ in found]
    middle = statistics.median(wall)
    return Timing(middle, statistics.median(host for _, host in found), (max(wall) - min(wall)) / middle)
