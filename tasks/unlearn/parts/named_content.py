"""What the files and folders hold that a program's arguments name: their digests, within bounds."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from tasks.datasets.archive import file_digest
from tasks.errors import AuditError

Content = Mapping[str, str]
"""SHA-256 by a file's path below the folder that is named; of a file that is named itself by the empty one."""
MOST_FILES, MOST_BYTES = 1000, 256 << 20
"""Of a folder: it is read for the plan, and again before and after every run of the program."""
NOT_CONTENT = frozenset({"__pycache__", ".git"})
"""Folders that change while what they are made from does not."""


def content_of(path: Path) -> Content:
    """Digests of what is there; links to files count by what they lead to.

    Raises:
        AuditError: a folder holds too much, a link to a folder, or something that is no file.
        OSError: something cannot be read.
    """
    if not path.is_dir():
        return {"": file_digest(path)}
    found, left = {}, MOST_BYTES
    for number, (name, file) in enumerate(_files_below(path)):
        left -= file.stat().st_size
        if number >= MOST_FILES or left < 0:
            raise AuditError(
                f"program: {path}: expected a folder of at most {MOST_FILES:,} files and {MOST_BYTES >> 20} MiB, all "
                "of which are part of the ids; name what in it decides what the program gives, or have the program "
                "find it and raise version when it changes"
            )
        found[name] = file_digest(file)
    return found


def content_digest(content: Content) -> str:
    """SHA-256 of a file, or of the names and contents of all files below a folder."""
    if content.keys() == {""}:
        return content[""]
    sha = hashlib.sha256(b"folder\n")
    for name, digest in content.items():
        sha.update(f"{name}\0{digest}\n".encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def edited(before: Content, after: Content) -> str | None:
    """The first file by name that differs, or is in one of them alone; None: all are the same."""
    return min((n for n in before.keys() | after.keys() if before.get(n) != after.get(n)), default=None)


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
