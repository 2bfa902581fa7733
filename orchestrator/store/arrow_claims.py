"""How much memory an Arrow file asks for, from the few bytes that say so, before any of it is taken.

The format is public (Arrow columnar format, "IPC File Format"; `File.fbs`, `Message.fbs`): a footer lists where each
record batch lies; the header of a batch says how many rows it has and where its buffers lie; a compressed buffer begins
with its length once it is unpacked. Headers are FlatBuffers: a table points back to a list of where its fields lie.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

MAGIC = b"ARROW1"
TAIL = len(MAGIC) + 4
BLOCK, BUFFER = 24, 16
"""Bytes of a place in the footer, and in the header of a batch."""
FOOTER_DICTIONARIES, FOOTER_BATCHES = 2, 3
MESSAGE_HEADER_KIND, MESSAGE_HEADER = 1, 2
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
DICTIONARY_DATA = 1
PADDING = 1 << 20
"""Bytes, and more than there are, of a file besides its batches and its schema, which stands in the footer again."""
BATCH_ROWS, BATCH_BUFFERS, BATCH_COMPRESSION = 0, 2, 3

ALWAYS = 1 << 30
"""Bytes that any file may ask for."""
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
"""Bytes of this machine."""
AT_MOST = 200
"""Times its length that a larger one may ask for; results of sweeps ask for 2 to 24 times theirs."""
VALUE = 8
"""Bytes of a row that a column takes at least, where the file lacks it or has it without a buffer."""


def require_affordable(source: pa.NativeFile | pa.Buffer, *, columns: int) -> None:
    """Refuse a file that asks for more memory than its length can account for.

    Args:
        source: the file, which is at its start again after; or its content.
        columns: of its table, which a reader fills where the file has none.

    Raises:
        ValueError: it does, or it is no Arrow file.
    """
    content = _bytes_of(source)
    asked = _claims(content)
    most = min(max(ALWAYS, AT_MOST * content.length), MEMORY)
    if asked.size + asked.rows * VALUE * columns > most:
        raise ValueError(
            f"{content.length:,} bytes that claim {asked.rows:,} rows and {asked.size:,} bytes once they are unpacked"
        )
    if isinstance(source, pa.NativeFile):
        source.seek(0)


class _Bytes(Protocol):
    """The bytes of a file."""

    length: int

    def at(self, place: int, length: int) -> bytes | memoryview:
        """So many bytes from a place on, or as many as there are."""


def _bytes_of(source: pa.NativeFile | pa.Buffer) -> _Bytes:
    return _InMemory(memoryview(source).cast("B")) if isinstance(source, pa.Buffer) else _InFile(source)


class _InFile:
    """Bytes that are read when they are asked for."""

    def __init__(self, source: pa.NativeFile) -> None:
        self._source, self.length = source, source.size()

    def at(self, place: int, length: int) -> bytes:
        self._source.seek(place)
        return bytes(self._source.read(length))


class _InMemory:
    """Bytes that are there: of small files it is the calls that take time."""

    def __init__(self, content: memoryview) -> None:
        self._content, self.length = content, len(content)

    def at(self, place: int, length: int) -> memoryview:
        return self._content[place : place + length]


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What all record batches of a file, and all dictionaries, ask for."""

    rows: int
    size: int
    """Bytes of buffers once they are unpacked."""


def claims(source: pa.NativeFile | pa.Buffer) -> Claims:
    """What a file asks for.

    Raises:
        ValueError: it is no Arrow file, or names places that it has not.
    """
    return _claims(_bytes_of(source))


def _claims(source: _Bytes) -> Claims:
    length = source.length
    tail = _read(source, length - TAIL, TAIL)
    footer_length = int.from_bytes(tail[:4], "little", signed=True)
    if tail[4:] != MAGIC:
        raise ValueError("no Arrow file")
    rows = size = listed = accounted = 0
    try:
        footer = _Table.root(_read(source, length - TAIL - footer_length, footer_length))
        for field in (FOOTER_DICTIONARIES, FOOTER_BATCHES):
            for place in footer.places(field, BLOCK):
                offset, header_length, body_length = struct.unpack_from("<qi4xq", footer.data, place)
                batch, compressed, body = _batch(source, offset, header_length, body_length)
                own = batch.number(BATCH_ROWS, "<q")
                if own < 0:
                    raise ValueError("a negative number of rows")
                rows += own
                accounted += header_length + body_length
                listed += len(batch.places(BATCH_BUFFERS, BUFFER)) * BUFFER
                if listed > length:
                    raise ValueError("batches that are listed again and again")
                size += _unpacked(source, batch, body, compressed=compressed)
    except struct.error as error:
        raise ValueError("a header that leads outside") from error
    if length - accounted > PADDING + 2 * footer_length:
        raise ValueError("a hole that no batch accounts for")
    return Claims(rows=rows, size=size)


@dataclass(frozen=True)
class _Table:
    """A FlatBuffers table within a header."""

    data: bytes | memoryview
    place: int

    @staticmethod
    def root(data: bytes | memoryview) -> _Table:
        return _Table(data, struct.unpack_from("<I", data)[0])

    def field(self, number: int) -> int | None:
        """Where a field lies; None where it has its default."""
        (back,) = struct.unpack_from("<i", self.data, self.place)
        listed = self.place - back
        if listed < 0:
            raise ValueError("a header that leads outside")
        (length,) = struct.unpack_from("<H", self.data, listed)
        if 4 + 2 * number >= length:
            return None
        (offset,) = struct.unpack_from("<H", self.data, listed + 4 + 2 * number)
        return self.place + offset if offset else None

    def number(self, number: int, kind: str) -> int:
        place = self.field(number)
        return 0 if place is None else int(struct.unpack_from(kind, self.data, place)[0])

    def table(self, number: int) -> _Table | None:
        place = self.field(number)
        return (
            None
            if place is None
            else _Table(self.data, place + struct.unpack_from("<I", self.data, place)[0])
        )

    def places(self, number: int, size: int) -> range:
        """Where the entries of a list lie."""
        place = self.field(number)
        if place is None:
            return range(0)
        first = place + struct.unpack_from("<I", self.data, place)[0]
        (count,) = struct.unpack_from("<I", self.data, first)
        if first + 4 + count * size > len(self.data):
            raise ValueError("a list that is longer than its header")
        return range(first + 4, first + 4 + count * size, size)


def _batch(source: _Bytes, offset: int, header_length: int, body_length: int) -> tuple[_Table, bool, range]:
    """The header of a batch, whether its buffers are compressed, and where its body lies."""
    body = range(offset + header_length, offset + header_length + body_length)
    if body_length < 0 or body.stop > source.length:
        raise ValueError("a body that leads outside")
    head = _read(source, offset, header_length)
    message = _Table.root(head[8:] if head[:4] == b"\xff\xff\xff\xff" else head[4:])
    kind, batch = message.number(MESSAGE_HEADER_KIND, "<B"), message.table(MESSAGE_HEADER)
    if kind == DICTIONARY_BATCH and batch is not None:
        batch = batch.table(DICTIONARY_DATA)
    elif kind != RECORD_BATCH:
        batch = None
    if batch is None:
        raise ValueError("no batch where there should be one")
    return batch, batch.field(BATCH_COMPRESSION) is not None, body


def _unpacked(source: _Bytes, batch: _Table, body: range, *, compressed: bool) -> int:
    """Bytes of all buffers of a batch."""
    places, whole, room, size = batch.places(BATCH_BUFFERS, BUFFER), source.length, len(body), 0
    for offset, length in struct.iter_unpack("<qq", batch.data[places.start : places.stop]):
        if offset < 0 or length < 0 or offset + length > room:
            raise ValueError("a buffer that leads outside")
        stated = length
        if compressed and length:
            if body.start + offset + 8 > whole:
                raise ValueError("a header that leads outside")
            stated = int.from_bytes(source.at(body.start + offset, 8), "little", signed=True)
        if stated < -1:
            raise ValueError("a negative length")
        size += length if stated == -1 else stated  # -1: not compressed after all
    return size


def _read(source: _Bytes, place: int, length: int) -> bytes | memoryview:
    if min(place, length) < 0 or place + length > source.length:
        raise ValueError("a header that leads outside")
    return source.at(place, length)
