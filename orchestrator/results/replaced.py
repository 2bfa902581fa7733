"""A directory that is written as a whole: whoever looks, and whatever is killed, finds the old one or the new."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.store.modes import make_directories
from orchestrator.store.unfinished import DIRECTORY, abandoned, directory_beside

CURRENT_DIRECTORY, EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux


@contextmanager
def replaced(directory: Path) -> Iterator[Path]:
    """A new, empty sibling to write into; in the end it stands where `directory` stood, which is deleted.

    A kill leaves the sibling, `.NAME.partial-XXXXXXXX`, which nobody reads and the next one here removes.

    Raises:
        OSError: a directory cannot be made, or put in place.
    """
    target = directory.resolve()  # a link stays a link, to the new directory
    make_directories(target.parent)
    for path in target.parent.iterdir():
        if (found := DIRECTORY.fullmatch(path.name)) and found["target"] == target.name and abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
    with directory_beside(target) as partial:
        try:
            yield partial
            if target.exists():
                shutil.copymode(target, partial)
                exchange(partial, target)
            else:
                partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def exchange(one: Path, other: Path) -> None:
    """Give each of two directories the other's place, in one step where the system can."""
    swap: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    places = (CURRENT_DIRECTORY, os.fsencode(one), CURRENT_DIRECTORY, os.fsencode(other))
    if swap is not None and swap(*places, EXCHANGE) == 0:
        return
    # Another system, or a file system that cannot: for a moment nothing stands there, and never a mix.
    aside = one.with_name(f"{one.name}-old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)
