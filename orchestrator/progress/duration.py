"""Spans of time in words."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """A span of time as a person says it: 45 s, 12 min, 3.5 h, 4.2 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


def measured_duration(seconds: float | None) -> str:
    """A measured span with three digits, as a comparison needs it: 4.2 ms, 1.85 s, 12.3 min; a dash for none that is
    finite."""
    if seconds is None or not math.isfinite(seconds):
        return "\N{EN DASH}"
    if seconds < 0.995:
        return f"{1000 * seconds:.{0 if seconds >= 0.01 else 1}f} ms"
    if seconds < 60:
        return f"{_three(seconds)} s"
    if seconds < 5400:
        return f"{_three(seconds / 60)} min"
    return f"{_three(seconds / 3600)} h" if seconds < 172800 else f"{_three(seconds / 86400)} days"


def _three(number: float) -> str:
    """Three digits, a last zero too: what stands below one another has equally many."""
    return f"{number:#.3g}".rstrip(".")
