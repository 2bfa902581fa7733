"""Files under one root, on a local disk or an object store: whole, atomic, never torn.

Locally a file is written under a name that begins with a dot, flushed to disk and renamed, so a name without
the dot is always complete. An object store publishes a put only when it is complete. Two accepted costs: a
killed local writer leaves its dotted file behind (`stale` finds them), and a file is held in memory once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from orchestrator.store.modes import Share
from tasks.errors import AuditError

MARKER = "store.json"
"""Makes a directory one of results."""


class NotAFile(OSError):
    """A link, pipe or device in the place of a file: opening it could wait for ever, or leave the results."""


class CannotWrite(AuditError):
    """The place of the results takes no writes: it is full, read-only, forbidden or out of reach.

    Never the fault of a cell, so it is not recorded as the failure of one: the sweep ends with this line.
    """


class Files(Protocol):
    """What the store needs of a place to keep files; paths are relative, with forward slashes."""

    def describe(self, path: str = "") -> str:
        """The full name of a path, for messages."""
        ...

    def names(self, directory: str) -> Iterator[str]:
        """Every file below a directory, relative to it, except below names that begin with `.` or `_`.

        Links are named and not followed: they could lead outside, or in a circle."""
        ...

    def holds_directory(self, path: str) -> bool:
        """Whether a directory of this name is there, or nothing."""
        ...

    def exists(self, path: str) -> bool:
        """Whether something of this name is there."""
        ...

    def read(self, path: str) -> pa.Buffer:
        """The whole content.

        Raises:
            FileNotFoundError: there is no such file.
            NotAFile: as `open`.
        """
        ...

    def open(self, path: str, *, whole: bool = False) -> pa.NativeFile:
        """A file to read from, once it is known to be opened without harm; the root itself may be a link.

        Args:
            whole: it will be read to its end, so that its length has to have been written.

        Raises:
            FileNotFoundError: there is no such file.
            NotAFile: it is a link, a pipe, a socket, a device or a directory, or not `whole`.
        """
        ...

    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        """Put the whole content in place at once, replacing what was there."""
        ...

    def settle(self, directory: str) -> None:
        """Return when earlier writes in a directory survive a power cut."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens where there is none."""
        ...

    def stamp(self, path: str) -> tuple[int, ...] | None:
        """What changes whenever the file is written again; None where there is none."""
        ...

    def size(self, path: str) -> int:
        """Bytes of a file; 0 where there is none."""
        ...

    def move(self, path: str, target: str) -> None:
        """Rename a file, making directories."""
        ...

    def stale(self, *, seconds: float) -> list[str]:
        """Files that killed writers left behind: single ones older than `seconds`, and those of directories."""
        ...

    def usable(self) -> bool:
        """Whether the root exists; an object store has no directories and always says so."""
        ...

    def share(self, share: Share, names: Iterable[str]) -> None:
        """Make the root, and files and directories in it, readable for nobody else or for the group.

        Raises:
            AuditError: this place has no modes.
        """
        ...

    def shared(self) -> Share | None:
        """Who may read what is written besides its owner; None: nobody, or the place has no modes."""
        ...

    def open_root(self) -> str:
        """A line where the root is open to others though its files are not; else empty."""
        ...

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The Arrow file system of `full`."""
        ...

    @property
    def lanes(self) -> int:
        """Small files that are best worked on at once."""
        ...

    def full(self, path: str) -> str:
        """The path within `filesystem`."""
        ...


def reason_of(error: Exception) -> str:
    """The words of an error of the file system, in one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())
