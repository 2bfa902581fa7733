"""Rows in Python are those of Arrow, with equal texts as one object."""

from __future__ import annotations

import pyarrow as pa

from orchestrator.results.rows import rows_of, tuples_of


def test_rows_are_those_of_arrow_over_chunks_nulls_and_no_rows() -> None:
    table = pa.table(
        {
            "name": pa.chunked_array([["a", None], ["b", "a"]], pa.string()),
            "kind": pa.chunked_array([pa.array(["x", "y", None, "x"]).dictionary_encode()]),
            "value": pa.array([1.5, None, float("inf"), -0.0], pa.float32()),
            "count": pa.array([1, None, 2**40, 3]),
            "told": pa.array([True, None, False, True]),
        }
    )
    assert list(rows_of(table)) == table.to_pylist()
    assert list(tuples_of(table)) == [tuple(row.values()) for row in table.to_pylist()]
    assert list(rows_of(table.slice(0, 0))) == []
    assert list(rows_of(table.schema.empty_table())) == []
    none = pa.table({"name": pa.nulls(3, pa.string())})
    assert list(rows_of(none)) == [{"name": None}] * 3


def test_equal_texts_are_one_object() -> None:
    first, second, third = rows_of(pa.table({"name": ["some text", "another", "some text"]}))
    assert first["name"] is third["name"] != second["name"]
