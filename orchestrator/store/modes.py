"""Who may read what Lethe writes on a disk: its owner alone, or with `--share group` the group too; never a umask.

Results are as open as their marker `store.json`, so that every process on every node knows it from the files.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal

Share = Literal["nobody", "group"]
"""Who may read results besides their owner."""
FILE_MODES: dict[Share, int] = {"nobody": 0o600, "group": 0o640}
PRIVATE, SHARED = FILE_MODES["nobody"], FILE_MODES["group"]
MADE = ("runs", "plans", "settings")
"""Directories that every sweep makes."""
PERMISSIONS, SPECIAL = 0o777, 0o7000


def mode_beside(marker: Path, otherwise: int = PRIVATE) -> int:
    """Mode of the files beside a marker: 0640 where it has exactly that, else 0600.

    Where there is none, it was lost, or nothing is there yet: 0640 beside a directory that was made for the group, else
    `otherwise`.
    """
    try:
        return SHARED if marker.stat().st_mode & PERMISSIONS == SHARED else PRIVATE
    except OSError:
        made = (marker.parent / name for name in MADE)
        return SHARED if any(_for_the_group(directory) for directory in made) else otherwise


def _for_the_group(directory: Path) -> bool:
    try:
        mode = directory.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and mode & PERMISSIONS == with_entry(SHARED)


def with_entry(mode: int) -> int:
    """The mode of a directory that is as open as files of this mode: with the right to enter it."""
    return mode | (mode & 0o444) >> 2


def open_line(root: Path) -> str:
    """A line on a directory that others may enter; empty where they may not."""
    mode = root.stat().st_mode & PERMISSIONS
    if not mode & 0o077:
        return ""
    return (
        f"{root} has mode {mode:04o}, as it was found: new files in it are for you alone, those of earlier versions "
        "may be open to others; --share nobody closes all, --share group opens all to the group"
    )


def create(path: Path, mode: int = PRIVATE, *, new: bool = False) -> IO[bytes]:
    """Open a file for writing, which nobody else can read before it has its mode; one that is there keeps its own.

    Args:
        path: of the file.
        mode: of a new file.
        new: refuse one that is there.

    Raises:
        OSError: it cannot be written; FileExistsError where it was to be new.
    """
    made = not path.exists()
    sink = open(path, "xb" if new else "wb", opener=lambda name, flags: os.open(name, flags, PRIVATE))  # noqa: SIM115
    if made and mode != PRIVATE:
        os.chmod(path, mode)
    return sink


@contextlib.contextmanager
def made_private() -> Iterator[None]:
    """Whatever a library makes meanwhile is for the owner alone; of the whole process, so for commands only."""
    before = os.umask(PERMISSIONS & ~(PRIVATE | with_entry(PRIVATE)))
    try:
        yield
    finally:
        os.umask(before)


def make_directories(path: Path, mode: int = PRIVATE) -> None:
    """Make a directory and those above it that are missing, as open as files of this mode; others stay as they are.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_directories(path.parent, mode)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:  # another process has just made it
        if not path.is_dir():
            raise
    else:
        if mode != PRIVATE:
            set_mode(path, mode)


def set_modes(places: Iterable[Path], mode: int) -> None:
    """Make files and whole directories as open as files of this mode; what is not there, or not this user's, stays."""
    for place in places:
        set_mode(place, mode)
        for directory, below, names in () if place.is_symlink() else os.walk(place):
            for name in (*below, *names):
                set_mode(Path(directory, name), mode)


def set_mode(path: Path, mode: int) -> None:
    """Give a file of this user a mode, and a directory the same with the right to enter it; links stay as they are."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
        return
    if stat.S_ISDIR(found.st_mode):
        mode = with_entry(mode)
    os.chmod(path, (found.st_mode & SPECIAL) | mode)
