"""Where the files of a private Ray lie: a directory of this process, gone afterwards, of a name that Ray can use."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import AuditError

PREFIX = "lethe-"
LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
"""Bytes that the system allows the path of a socket."""
SOCKET = "session_2026-01-01_00-00-00_000000_{process}/sockets/plasma_store.1"
"""The longest that Ray makes below its directory."""
LEAST_FREE = 64 << 20
"""Bytes; Ray ends, with words of its own, where it cannot write its logs."""
ELSEWHERE = ("/tmp", "/var/tmp")
"""Looked at where the directory for temporary files will not do."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards; what killed sweeps of this user left is removed first.

    Raises:
        AuditError: there is no place for it.
    """
    places = _places()
    for place in places:
        _clear(place)
    folder = _fitting(places) / _name()
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _places() -> list[Path]:
    """Directories for temporary files, the user's own first."""
    own = []
    with contextlib.suppress(FileNotFoundError):  # none that can be written to
        own = [tempfile.gettempdir()]
    return [Path(place) for place in dict.fromkeys([*own, *ELSEWHERE]) if os.path.isdir(place)]


def _fitting(places: list[Path]) -> Path:
    """The first place where Ray can work; that it is not the user's own is said."""
    faults = {place: fault(place) for place in places}
    fitting = [place for place in places if not faults[place]]
    told = "; ".join(f"{place} {why}" for place, why in faults.items() if why)
    if not fitting:
        raise AuditError(f"TMPDIR: expected a directory for Ray's files; {told or 'there is none'}")
    if faults[places[0]]:
        sys.stderr.write(f"note: Ray's files are in {fitting[0]}: {places[0]} {faults[places[0]]}\n")
    return fitting[0]


def fault(place: Path) -> str:
    """What keeps Ray from having its files in a directory; empty: nothing."""
    path = str(place / _name() / SOCKET.format(process=os.getpid()))
    if not path.isascii():
        return "has letters beyond ASCII, which Ray does not take"
    if len(path) > LONGEST_SOCKET:
        return f"is too long by {len(path) - LONGEST_SOCKET} characters for the names of Ray's sockets"
    if not os.access(place, os.W_OK | os.X_OK):
        return "cannot be written to"
    if (free := shutil.disk_usage(place).free) < LEAST_FREE:
        return f"has {free / 2**20:.0f} MiB free, of {LEAST_FREE >> 20} that Ray needs at least"
    return ""


def _name() -> str:
    return f"{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"


def _clear(place: Path) -> None:
    for left in place.glob(f"{PREFIX}[0-9]*-*"):
        process = left.name.split("-")[1]
        with contextlib.suppress(FileNotFoundError):  # another sweep removes it at the same time
            if process.isdigit() and left.stat().st_uid == os.getuid() and not _running(int(process)):
                shutil.rmtree(left, ignore_errors=True)


def _running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
