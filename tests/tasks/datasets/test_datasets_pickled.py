"""The restricted reader: old and new pickles are read, hostile ones are refused before anything runs."""

from __future__ import annotations

import io
import os
import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.datasets.pickled import load_table
from tasks.errors import AuditError


def python2_pickle(table: dict[str, Any]) -> bytes:
    """Protocol 2 as Python 2 wrote it: byte-string opcodes, arrays through numpy.core.multiarray."""
    out = io.BytesIO()
    out.write(b"\x80\x02}(")
    for key, value in table.items():
        _write(out, key)
        _write(out, value)
    out.write(b"u.")
    return out.getvalue()


def _write(out: io.BytesIO, value: Any) -> None:
    if isinstance(value, str):
        value = value.encode("latin1")
    if isinstance(value, bytes):
        out.write(b"T" + struct.pack("<i", len(value)) + value)
    elif isinstance(value, (int, np.integer)):
        out.write(b"J" + struct.pack("<i", int(value)))
    elif isinstance(value, np.ndarray):
        _write_array(out, value)
    else:
        out.write(b"](")
        for item in value:
            _write(out, item)
        out.write(b"e")


def _write_array(out: io.BytesIO, array: np.ndarray) -> None:
    out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(")
    for side in array.shape:
        _write(out, side)
    name = array.dtype.str[1:].encode()
    order = array.dtype.str[:1].encode()
    out.write(b"tcnumpy\ndtype\n" + b"U" + bytes([len(name)]) + name + b"K\x00K\x01\x87R(K\x03U\x01" + order)
    out.write(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")
    out.write(b"\x88" if np.isfortran(array) else b"\x89")
    _write(out, array.tobytes(order="A"))
    out.write(b"tb")


TABLE = {
    "batch_label": "training batch 1 of 5",
    "labels": [3, 1, 9],
    "data": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "filenames": ["a.png", "b.png", "c.png"],
}


def _same(loaded: dict[str, Any], table: dict[str, Any]) -> None:
    assert loaded.keys() == table.keys()
    for key, value in table.items():
        np.testing.assert_array_equal(loaded[key], value)


def test_the_test_writes_what_numpy_reads() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = pickle.loads(python2_pickle(TABLE), encoding="latin1")
    _same(loaded, TABLE)


def test_reads_python2_pickle() -> None:
    _same(load_table(python2_pickle(TABLE), where="f"), TABLE)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_python3_pickle(protocol: int) -> None:
    _same(load_table(pickle.dumps(TABLE, protocol=protocol), where="f"), TABLE)


@pytest.mark.parametrize("kind", ["u1", "<i4", ">i4", "<i8", ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_array_types_and_orders(kind: str, order: Any) -> None:
    array = np.asarray(np.arange(6).reshape(2, 3), dtype=kind, order=order)
    for data in (python2_pickle({"data": array}), pickle.dumps({"data": array}, protocol=2)):
        np.testing.assert_array_equal(load_table(data, where="f")["data"], array)


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_hostile_pickle_is_refused_without_executing(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    data = pickle.dumps({"data": Hostile(marker), "labels": [1]}, protocol=protocol)
    with pytest.raises(AuditError, match=r"data_batch_1: .*refused to load '(posix|nt)\.system'"):
        load_table(data, where="data_batch_1")
    assert not marker.exists()
    pickle.loads(data)  # the same bytes do execute in an ordinary unpickler
    assert marker.exists()


@pytest.mark.parametrize(
    "name", ["builtins\neval", "builtins\ngetattr", "numpy\nload", "subprocess\nPopen", "functools\npartial"]
)
def test_other_callables_are_refused(name: str) -> None:
    data = b"\x80\x02c" + name.encode() + b"\nU\x01x\x85R."
    with pytest.raises(AuditError, match="refused to load"):
        load_table(data, where="f")


def test_arrays_of_objects_are_refused() -> None:
    data = pickle.dumps({"data": np.array([{"a": 1}], dtype=object)}, protocol=2)
    with pytest.raises(AuditError, match="array type 'O8' is not an integer type"):
        load_table(data, where="f")


def test_shape_that_does_not_fit_the_bytes_is_refused() -> None:
    data = python2_pickle({"data": np.zeros((2, 3), dtype=np.uint8)})
    with pytest.raises(AuditError, match="cannot read the pickle"):
        load_table(data.replace(b"J\x02\x00\x00\x00J\x03", b"J\x7f\x00\x00\x00J\x03"), where="f")


def test_no_dictionary_is_refused() -> None:
    with pytest.raises(AuditError, match="f: expected a pickled dict, got list"):
        load_table(pickle.dumps([1, 2]), where="f")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_truncation_is_an_audit_error(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([python2_pickle(TABLE), pickle.dumps(TABLE, protocol=4)]))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(AuditError, match="cannot read the pickle of"):
        load_table(whole[:cut], where="f")


def shared_tuples(levels: int) -> bytes:
    """A key whose hash takes 2 ** levels steps: each tuple holds the one before twice."""
    doubled = b"".join(b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(levels))
    return b"\x80\x02}K\x01\x85q\x00" + doubled + b"K\x01s."


COSTLY = {
    "tuples that hold the one before twice": (shared_tuples(60), "hold the same value twice"),
    "a list that holds itself": (b"\x80\x02}U\x01a]q\x00h\x00as.", "hold the same value twice"),
    "a text fetched again and again": (
        b"\x80\x02}X\x00\x10\x00\x00" + b"x" * 4096 + b"q\x00](" + b"h\x00" * 9 + b"es.",
        "hold the same value twice",
    ),
    "a key too deep for the stack": (b"\x80\x02})" + b"\x85" * 10**6 + b"K\x01s.", "at most 8 containers"),
    "a list as deep": (b"\x80\x02}K\x01" + b"]" * 9 + b"a" * 8 + b"s.", "at most 8 containers"),
    "a memo of 64 GB": (b"\x80\x02}r\xff\xff\xff\x7f.", "values to be kept"),
    "the top twice": (b"\x80\x02}K\x012K\x01s.", "got DUP"),
    "a set": (b"\x80\x04}\x8f(K\x01\x90K\x01s.", "got EMPTY_SET"),
    "a text of 8 EB": (b"\x80\x04}\x8e" + b"\xff" * 7 + b"\x7fabc", "only 3 remain"),
    "a number of a million digits": (b"\x80\x02}I" + b"9" * 10**6 + b"\nK\x01s.", "digits"),
    "a long name": (b"\x80\x02}c" + b"x" * 10**6 + b"\ny\nK\x01s.", "refused to load 'xxx"),
}


@pytest.mark.parametrize(("data", "reason"), COSTLY.values(), ids=COSTLY)
def test_what_costs_more_than_a_table_is_refused_before_it_is_built(data: bytes, reason: str) -> None:
    with pytest.raises(AuditError, match=reason) as caught:
        load_table(data, where="f")
    assert len(str(caught.value)) < 300


def test_more_values_than_a_table_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.datasets.pickle_shape.OPCODES", 100)
    assert load_table(pickle.dumps({"labels": [1] * 80}), where="f")
    with pytest.raises(AuditError, match="at most 100 opcodes"):
        load_table(pickle.dumps({"labels": [1] * 100}), where="f")
