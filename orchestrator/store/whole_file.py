"""One file for a user, written as a whole: a full disk or a kill leaves the older one, or none, and no half of one."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from orchestrator.store.modes import create
from orchestrator.store.unfinished import file_beside
from tasks.errors import AuditError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write into, which has its name when the block ends without an error.

    It is its owner's alone; one that is replaced hands on its mode. Links, pipes and devices (`/dev/stdout`) are
    written through as they are.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        with create(path) as sink:
            yield sink
        return
    temporary = file_beside(path)
    try:
        with create(temporary, new=True) as sink:
            yield sink
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, *, flag: str) -> None:
    """Write a file as a whole, see `whole_file`.

    Raises:
        AuditError: it cannot be written; the message begins with the flag that named it.
    """
    try:
        with whole_file(path) as sink:
            sink.write(content)
    except OSError as error:
        raise AuditError(f"{flag}: cannot write {path}: {error.strerror}") from error
