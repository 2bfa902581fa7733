"""What the files and folders hold that a program's arguments name: one digest of each, within bounds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tasks.datasets.archive import file_digest
from tasks.errors import AuditError

MOST_FILES, MOST_BYTES = 1000, 256 << 20
"""Of a folder: it is read for the plan, and again before every run of the program."""
NOT_CONTENT = frozenset({"__pycache__", ".git"})
"""Folders that change while what they are made from does not."""


def content_digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder.

    Args:
        path: what is there; links to files count by what they lead to.

    Raises:
        AuditError: a folder holds too much, a link to a folder, or something that is no file.
        OSError: something cannot be read.
    """
    if not path.is_dir():
        return file_digest(path)
    sha, left = hashlib.sha256(b"folder\n"), MOST_BYTES
    for number, (name, file) in enumerate(_files_below(path)):
        left -= file.stat().st_size
        if number >= MOST_FILES or left < 0:
            raise AuditError(
                f"program: {path}: expected a folder of at most {MOST_FILES:,} files and {MOST_BYTES >> 20} MiB, all "
                "of which are part of the ids; name what in it decides what the program gives, or have the program "
                "find it and raise version when it changes"
            )
        sha.update(f"{name}\0{file_digest(file)}\n".encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files by their path below a folder, in one order everywhere."""
    for directory, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if name not in NOT_CONTENT)
        for name in (*folders, *sorted(names)):
            path = Path(directory) / name
            if name in folders and not path.is_symlink():
                continue
            if not stat.S_ISREG(path.stat().st_mode):
                raise AuditError(
                    f"program: {path}: expected files and folders, got a link to a folder, or something else"
                )
            yield path.relative_to(folder).as_posix(), path


def _refuse(error: OSError) -> None:
    raise error
