"""The file that makes a directory one of results, and says which version of the schema they have."""

from __future__ import annotations

import re

from orchestrator.store.checksum import BLANK, intact, seal
from orchestrator.store.files import MARKER, Files
from orchestrator.store.schema import SCHEMA_VERSION

LONGEST = 1000
"""Bytes; nothing longer is read."""
_FORM = re.compile(rb'\{"schema_version": ([0-9]{1,9})(?:, "checksum": "(sha256:[0-9a-f]{64})")?\}\s*')
"""Versions of which it is not this program's business how they are sealed, such as those up to 3, may have none."""


def write(files: Files) -> None:
    """Mark a directory."""
    files.write(MARKER, seal(b'{"schema_version": %d, "checksum": "%s"}' % (SCHEMA_VERSION, BLANK)))


def read(files: Files) -> str | None:
    """The version of a directory; None where it has no marker.

    Raises:
        ValueError: the marker is damaged.
        OSError: it cannot be read.
    """
    try:
        small = files.size(MARKER) <= LONGEST
        content = files.read(MARKER).to_pybytes() if small else b""
    except (FileNotFoundError, NotADirectoryError):
        return None
    form = _FORM.fullmatch(content)
    if form is None:
        raise ValueError("expected a schema version and a checksum")
    version, checksum = form.groups()
    unsealed = checksum is None and int(version) != SCHEMA_VERSION
    if not unsealed and not intact(content, checksum or b""):
        raise ValueError("changed since it was written")
    return version.decode()
