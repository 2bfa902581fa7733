"""What the simulated device was asked for, counted: operators by name, what would cost time by line of source."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

_ROOT = Path(__file__).parents[3]
_OWN = str(Path(__file__).parent)


@dataclass(eq=False)
class Record:
    """Counts since the recording began."""

    operators: Counter[str] = field(default_factory=Counter)
    """By name: each is at least one kernel on a GPU."""
    waits: Counter[str] = field(default_factory=Counter)
    """Times that the host needed a number of the device, by line and operator."""
    uploads: Counter[str] = field(default_factory=Counter)
    """Copies from the host to the device, by line and operator."""
    doubles: Counter[str] = field(default_factory=Counter)
    """Operators on float64 tensors, by line and operator: slow on most GPUs, absent on Apple's."""


_RECORDS: list[Record] = []


@contextmanager
def recording() -> Iterator[Record]:
    """Count what happens inside the block; recordings may be nested."""
    record = Record()
    _RECORDS.append(record)
    try:
        yield record
    finally:
        _RECORDS.remove(record)


def is_recorded() -> bool:
    """Whether anybody counts."""
    return bool(_RECORDS)


def note(operator: str, *, wait: bool, upload: bool, double: bool) -> None:
    """One operator was called; its line is looked up only where it matters."""
    place = f"{line()} {operator}" if wait or upload or double else ""
    for record in _RECORDS:
        record.operators[operator] += 1
        record.waits.update([place] * wait)
        record.uploads.update([place] * upload)
        record.doubles.update([place] * double)


def line() -> str:
    """`file:line` of the innermost call in this repository; "backward" in a backward pass, which has none."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(f"{_ROOT}/") and not file.startswith(_OWN) and "site-packages" not in file:
            return f"{Path(file).relative_to(_ROOT)}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere" if torch._C._current_graph_task_id() == -1 else "backward"
