"""Names of files and directories that are being written: a killed writer leaves them, and no reader looks at them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from orchestrator.store.modes import make_directories

FILE = re.compile(r"\..+\.[0-9a-f]{8}")
DIRECTORY = re.compile(r"\.(?P<target>.+)\.partial-[0-9a-f]{8}(-old)?")


def file_beside(target: Path) -> Path:
    """A new name beside the file that is to be written; of a long name it has the beginning."""
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}")


@contextlib.contextmanager
def directory_beside(target: Path) -> Iterator[Path]:
    """A new directory beside the one that is to be written; while this process lives, it is not `abandoned`.

    Raises:
        OSError: it cannot be made.
    """
    made = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    make_directories(made)
    descriptor = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # ends with the process, however that ends
        yield made
    finally:
        os.close(descriptor)


def abandoned(directory: Path) -> bool:
    """Whether the writer of such a directory is gone; not where the file system has no locks to tell."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
