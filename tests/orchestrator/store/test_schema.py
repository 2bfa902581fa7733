from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from orchestrator.store.schema import SCHEMA_VERSION, to_arrow
from orchestrator.store.tables import TABLES, table_named
from tasks.errors import AuditError, UnknownName

ROW = {"metric": "auc", "split": "forget", "variant": "", "value": 0.5, "n": 3, "higher_is": "worse"}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_are_well_formed(table) -> None:
    assert table.key in table.columns
    assert set(table.path) | set(table.required) <= set(table.columns)
    assert not set(table.path) & set(table.file_schema.names)
    assert set(table.query_schema.names) == set(table.columns)
    assert not (table.compactable and table.path)
    assert table.file_schema.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_types_are_those_that_duckdb_can_push_filters_into(table) -> None:
    for kind in table.columns.values():
        assert not pa.types.is_float16(kind)
        assert not pa.types.is_null(kind)
        assert kind not in (pa.string_view(), pa.binary_view(), pa.large_string())
        if pa.types.is_timestamp(kind):
            assert kind == pa.timestamp("us", tz="UTC")


def test_rows_get_the_key_and_nulls() -> None:
    arrow = to_arrow(table_named("metrics"), [ROW, ROW | {"label": 2}], key="abc")
    assert arrow["cell_id"].to_pylist() == ["abc", "abc"]
    assert arrow["label"].to_pylist() == [None, 2]
    assert arrow.schema.equals(table_named("metrics").file_schema)


def test_no_rows_make_an_empty_table() -> None:
    assert to_arrow(table_named("metrics"), [], key="abc").num_rows == 0


def test_metric_rows_have_the_columns_of_the_table() -> None:
    from tasks.metrics.base import MetricValue
    from tasks.metrics.utility import ACCURACY

    value = MetricValue(declared=ACCURACY, split="forget", value=0.5, ci_low=0.2, ci_high=0.8, n=4)
    assert set(table_named("metrics").columns) == {*value.row(), "cell_id"}
    assert value.row()["higher_is"] == "closer_to_retrained"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW | {"valeu": 1}], "metrics: no column 'valeu'. Did you mean 'value'?"),
        ([ROW | {"value": "high"}], "metrics.value: expected double"),
        ([ROW | {"value": None}], "metrics.value: expected a value in every row"),
        ([ROW | {"label": 70_000}], "metrics.label: expected int16"),
        ([ROW | {"cell_id": "other"}], "metrics.cell_id: expected 'abc' in every row"),
    ],
)
def test_wrong_rows_are_refused(rows, message: str) -> None:
    with pytest.raises(AuditError, match=message.replace("?", r"\?").replace(".", r"\.")):
        to_arrow(table_named("metrics"), rows, key="abc")


def test_times_keep_their_zone() -> None:
    noon = datetime(2025, 1, 1, 12, tzinfo=UTC)
    row = {"ordinal": 1, "name": "x", "started_at": noon, "config_digest": "d"}
    assert to_arrow(table_named("runs"), [row], key="r")["started_at"].to_pylist() == [noon]


def test_unknown_table_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'metrics'"):
        table_named("metric")
