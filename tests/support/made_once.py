"""Folders that take seconds to make, made by the first of a session's test processes that asks, for all of them."""

from __future__ import annotations

import atexit
import fcntl
import functools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_shared: list[Path] = []


def share(folder: Path) -> None:
    """Where such folders lie from now on: one folder for all processes of a session, which removes it."""
    _shared[:] = [folder]


@functools.cache
def _own() -> Path:
    """For a process that no session of pytest has told where."""
    folder = Path(tempfile.mkdtemp(prefix="lethe-made-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` has filled, not to be written to; a process that asks while another makes it waits.

    The folder is filled where it stays, as results hold paths. What `make` raises leaves nothing for the next to find.
    """
    place = _shared[0] if _shared else _own()
    folder, whole = place / name, place / f"{name}.whole"
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder
