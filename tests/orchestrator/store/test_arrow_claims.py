"""What an Arrow file asks for is told without reading it, and what its length cannot account for is refused."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.store import arrow_claims
from orchestrator.store.arrow_claims import Claims, claims, require_affordable

MARK = 0x1234567  # bytes of a buffer, which stand nowhere else in its file


def written(table: pa.Table, compression: str | None = "zstd", rows: int = 131_072) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, unify_dictionaries=True)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue().to_pybytes()


def asked_by(data: bytes) -> Claims:
    """What a file asks for, or the ValueError of it: the same read from a file and in memory."""
    found = [_outcome(pa.BufferReader(data)), _outcome(pa.py_buffer(data))]
    assert str(found[0]) == str(found[1])
    if isinstance(found[0], ValueError):
        raise found[0]
    return found[0]


def _outcome(source: pa.NativeFile | pa.Buffer) -> Claims | ValueError:
    try:
        return claims(source)
    except ValueError as error:
        return error


@pytest.mark.parametrize("compression", ["zstd", "lz4", None])
def test_claims_are_what_reading_takes(compression: str | None) -> None:
    numbers = np.random.default_rng(0).integers(0, 3, 10_000)
    table = pa.table(
        {
            "number": numbers.astype(float),
            "text": pa.array([f"t{n}" for n in numbers]),
            "word": pa.array([f"w{n}" for n in numbers]).dictionary_encode(),
            "none": pa.nulls(len(numbers)),
            "list": pa.array([[1] * n for n in numbers]),
            "null": pa.array([None, 1] * (len(numbers) // 2)),
        }
    )
    data = written(table, compression, rows=3000)
    asked = asked_by(data)
    with pa.ipc.open_file(pa.BufferReader(data)) as reader:
        taken = reader.read_all()
    assert asked.rows == len(numbers) + 3  # words
    assert taken.get_total_buffer_size() <= asked.size <= taken.get_total_buffer_size() + 10_000  # padding


def test_an_empty_table_asks_for_nothing() -> None:
    asked = asked_by(written(pa.table({"a": pa.array([], pa.int32())})))
    assert (asked.rows, asked.size) == (0, 0)


@pytest.mark.parametrize("length", [1 << 40, 1 << 31, -7])
def test_a_buffer_that_claims_another_length_is_refused(length: int) -> None:
    data = written(pa.table({"a": np.zeros(MARK, np.int8)}), rows=MARK)
    assert len(data) < 10_000
    require_affordable(pa.BufferReader(data), columns=1)
    changed = data.replace(
        struct.pack("<q", MARK) + b"\x28\xb5\x2f\xfd", struct.pack("<q", length) + b"\x28\xb5\x2f\xfd"
    )
    assert changed != data
    with pytest.raises(ValueError, match=r"claim|negative"):
        require_affordable(pa.BufferReader(changed), columns=1)


def test_rows_without_buffers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(pa.table({"a": pa.nulls(1 << 26)}), rows=1 << 26)
    require_affordable(pa.BufferReader(data), columns=1)
    with pytest.raises(ValueError, match=r"bytes that claim 67,108,864 rows"):
        require_affordable(pa.BufferReader(data), columns=33)


def test_what_is_true_and_unpacks_to_much_is_refused_by_its_length() -> None:
    data = written(pa.table({"a": np.zeros(1 << 16)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow_claims, "ALWAYS", 1 << 18)
        with pytest.raises(ValueError, match="524,288 bytes once they are unpacked"):
            require_affordable(pa.BufferReader(data), columns=1)
        patch.setattr(arrow_claims, "MEMORY", 1 << 22)
        noise = written(pa.table({"a": np.random.default_rng(0).normal(size=1 << 16)}))
        require_affordable(pa.BufferReader(noise), columns=1)
        patch.setattr(arrow_claims, "MEMORY", 1 << 18)
        with pytest.raises(ValueError, match="524,288 bytes"):
            require_affordable(pa.BufferReader(noise), columns=1)


def test_no_changed_byte_makes_it_fail_otherwise_or_take_long() -> None:
    data = written(pa.table({"a": [1.0, 2.0], "b": ["x", "y"]}))
    for place in range(len(data)):
        for value in (0x00, 0x7F, 0xFF):
            changed = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                asked_by(changed)
            except ValueError:
                continue
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"Arrow|outside"):
            asked_by(data[:length])


def test_a_batch_that_is_listed_again_and_again_is_refused() -> None:
    """Reading it would take a time that grows with the square of its length."""
    data = written(pa.table({str(name): [1] for name in range(30)}))
    length = int.from_bytes(data[-10:-6], "little")
    footer = bytearray(data[-10 - length : -10])
    place, (first,) = struct.unpack_from("<I", footer)[0] + 16, struct.unpack_from("<I", footer, 32)
    assert struct.unpack_from("<I", footer, place + first) == (1,)  # the list of record batches
    block = footer[place + first + 4 : place + first + 28]
    struct.pack_into("<I", footer, place, length - place)
    footer += struct.pack("<I", 1000) + block * 1000
    changed = data[: -10 - length] + footer + struct.pack("<i", len(footer)) + b"ARROW1"
    with pytest.raises(ValueError, match="again and again"):
        asked_by(changed)
