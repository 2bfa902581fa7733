"""The SHA-256 of a file inside the file itself: a changed byte is seen wherever it stands, and nothing lies beside.

A sealed file carries `sha256:` and 64 digits. The digest is taken with zeros in their place; an Arrow file has the
digits twice, since its schema stands at its start and again at its end.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

MARK = b"sha256:"
BLANK = MARK + b"0" * 64
"""What a file carries before it is sealed."""


def seal(data: bytes | pa.Buffer) -> bytes:
    """Put the digest of a file in place of its first and its last blank.

    Raises:
        ValueError: there is no blank.
    """
    sealed = bytearray(data)
    places = _places(sealed, BLANK)
    if not places:
        raise ValueError("expected a blank checksum")
    return bytes(_with(sealed, places, _digest(sealed)))


def intact(data: bytes | pa.Buffer, checksum: bytes) -> bool:
    """Whether a file is as it was sealed.

    Args:
        data: the file.
        checksum: what it carries as its own.
    """
    if len(checksum) != len(BLANK):
        return False
    blank = bytearray(data)
    return _digest(_with(blank, _places(blank, checksum), BLANK)) == checksum


def _digest(data: bytearray) -> bytes:
    return MARK + hashlib.sha256(data).hexdigest().encode()


def _places(data: bytearray, checksum: bytes) -> set[int]:
    return {data.find(checksum), data.rfind(checksum)} - {-1}


def _with(data: bytearray, places: set[int], checksum: bytes) -> bytearray:
    for place in places:
        data[place : place + len(checksum)] = checksum
    return data
