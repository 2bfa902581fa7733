"""The views of verdict.sql over given rows, in a DuckDB of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from orchestrator.results import connection
from orchestrator.results.metric_declarations import metric_declarations
from orchestrator.results.views import bodies

STUDENT, VERDICT = (Path(connection.__file__).with_name(f"{name}.sql") for name in ("student", "verdict"))
DECLARED = pa.schema(
    [
        ("metric", pa.string()),
        ("split", pa.string()),
        ("game", pa.string()),
        ("variant", pa.string()),
        ("attack", pa.string()),
        ("param", pa.float64()),
        ("is_primary", pa.bool_()),
        ("margin", pa.float64()),
        ("declared_after", pa.bool_()),
    ]
)
LABELS = pa.schema([("setting", pa.string()), ("label", pa.string())])
MASKING = pa.schema(
    [
        ("cell_id", pa.string()),
        ("split", pa.string()),
        ("eps", pa.float64()),
        ("masked_gradients", pa.bool_()),
    ]
)
PLANS = pa.schema([("cell_id", pa.string()), ("place", pa.int64()), ("run_id", pa.string())])
REFERENCES = pa.schema([("cell_id", pa.string()), ("reference_cell_id", pa.string())])
SETTINGS = pa.schema([("setting", pa.string()), ("key", pa.string()), ("value", pa.string())])


def declared(*rows: Mapping[str, Any]) -> pa.Table:
    """Declarations; what one leaves out takes any value, is not primary, and was said beforehand."""
    usual = {"is_primary": False, "declared_after": False}
    return pa.Table.from_pylist([{**usual, **row} for row in rows], schema=DECLARED)


def judge(
    tables: Mapping[str, pa.Table],
    ask: str,
    *,
    leaderboard: str = "",
    params: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Make the views and ask.

    Args:
        tables: by name: `declared`, and `leaderboard` or what it is made of.
        ask: the query.
        leaderboard: statement that makes that view of `tables`.
        params: of the query.
    """
    empty = {
        "settings": SETTINGS,
        "setting_labels": LABELS,
        "gradient_masking": MASKING,
        "plan_references": REFERENCES,
        "last_plans": PLANS,
    }
    usual = {name: schema.empty_table() for name, schema in empty.items()}
    made = {**usual, "metric_declarations": metric_declarations(), **tables}
    with duckdb.connect(":memory:") as session:
        session.execute("set threads = 1")
        for name, table in made.items():
            session.register(name, table)
        for view in ("model_entries", "model_settings"):
            session.execute(f"create temp view {view} as {bodies()[view]}")
        session.execute(
            STUDENT.read_text(encoding="utf-8") + leaderboard + VERDICT.read_text(encoding="utf-8")
        )
        return session.sql(ask, params=params).to_arrow_table()
