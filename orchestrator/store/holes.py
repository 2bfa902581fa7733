"""Files whose length is claimed and was never written: reading one to its end takes hours, whatever it holds."""

from __future__ import annotations

import errno
import os

LARGE = 1 << 30
"""Bytes of a file from which on it is asked whether they were written."""
PIECES = 10_000
"""Of data in one file; one in more of them is judged by these."""


def mostly_holes(path: str) -> bool:
    """Whether less than half of a file is data; a file system that knows no holes calls all of it data.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        return size > 0 and _share(descriptor, size) < 0.5
    finally:
        os.close(descriptor)


def _share(descriptor: int, size: int) -> float:
    """Share of data."""
    held = place = 0
    for _ in range(PIECES):
        try:
            start = os.lseek(descriptor, place, os.SEEK_DATA)
        except OSError as error:
            return (
                held / size if error.errno == errno.ENXIO else 1.0
            )  # none after this place; no such question
        place = os.lseek(descriptor, start, os.SEEK_HOLE)
        held += place - start
    return held / place
