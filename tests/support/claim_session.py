"""Claim queries over many made results at once: each result is a data set of its own in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from orchestrator.results import views
from orchestrator.results.catalogue import find_query
from orchestrator.results.metric_declarations import metric_declarations


def _empty(*columns: str) -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in columns})


PLACE = (
    "dataset",
    "architecture",
    "conditions",
    "forget_set",
    "attack",
    "scope",
    "role",
    "method",
    "setting",
)
UNTOLD = {
    "setting_labels": _empty("setting", "label"),
    "base_methods": _empty("setting", "base"),
    "planned_cells": _empty(*PLACE).append_column("seed", pa.array([], pa.int64())),
}
"""What made results say nothing of: no two settings at a place, no base of another name, no cell that is missing."""


def crossed(axes: Mapping[str, Sequence[Any]], **columns: Any) -> pa.Table:
    """A row for each combination of the axes, in their order; columns are constants or arrays of that shape, or of one
    that broadcasts to it."""
    shape = tuple(len(values) for values in axes.values())
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    made = {
        name: pa.array(np.asarray(list(values))[index.ravel()])
        for (name, values), index in zip(axes.items(), grid, strict=True)
    }
    for name, value in columns.items():
        if value is None or isinstance(value, (str, bool)):
            made[name] = pa.array([value] * int(np.prod(shape)), pa.string() if value is None else None)
        else:
            made[name] = pa.array(np.broadcast_to(value, shape).ravel())
    return pa.table(made)


def names(kind: str, count: int) -> list[str]:
    """Names that sort as their numbers do."""
    return [f"{kind}{number:05d}" for number in range(count)]


def rows_of(
    query: str, tables: Mapping[str, pa.Table], made: Sequence[str] = (), **params: Any
) -> list[dict[str, Any]]:
    """All rows of a query.

    Args:
        query: its name.
        tables: by the name of a table or view that it reads.
        made: views that are made of these by their own SQL, in this order.
        params: other values than its defaults.
    """
    shipped = find_query(query)
    with duckdb.connect(":memory:", config={"python_enable_replacements": False}) as session:
        session.execute("set threads = 1")
        for name, table in {
            **UNTOLD,
            "metric_declarations": metric_declarations(),
            **tables,
        }.items():
            session.register(name, table)
        session.execute(views.macros())
        for view in made:
            session.execute(f"create temp view {view} as {views.bodies()[view]}")
        return session.sql(shipped.text, params=shipped.bind(params)).to_arrow_table().to_pylist()


def judged(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Of each result, by name: effect, low and high (infinite where there is no interval), verdict."""
    claims = sorted((row for row in rows if row["is_claim"]), key=lambda row: row["dataset"])
    open_ends = {"effect_low": -np.inf, "effect_high": np.inf}
    ends = {
        name: np.array([default if row[name] is None else row[name] for row in claims], dtype=float)
        for name, default in open_ends.items()
    }
    return {
        "effect": np.array([row["effect"] for row in claims], dtype=float),
        "low": ends["effect_low"],
        "high": ends["effect_high"],
        "verdict": np.array([row["verdict"] for row in claims]),
    }
