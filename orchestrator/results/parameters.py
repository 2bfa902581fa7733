"""Values of parameters that occur nowhere in the results, or not together, which a query would answer with no rows.

The column that a parameter belongs to is the one that the query itself compares it with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from orchestrator.results.catalogue import Query
from orchestrator.results.connection import SHIPPED, Results
from orchestrator.results.reading import nodes
from tasks.errors import UnknownName, nearest

MAY_BE = SHIPPED.keys() | {"declared"}
"""Tables and views whose names are those that Lethe knows or that a run declared, measured or not."""
EQUALS = ("COMPARE_EQUAL", "COMPARE_NOT_DISTINCT_FROM")
SHOWN = 20
"""Values that a message lists."""


def check_values(results: Results, query: Query, given: Mapping[str, Any]) -> None:
    """Refuse a value that no table or view has in the column that its parameter is compared with.

    A column that the query below this one computes has the values of its answer. Results that have no value at all in
    such a column say nothing of a typing error: the query answers.

    Raises:
        UnknownName: there is such a value; the message names the nearest that occurs.
    """
    compared = columns(results, query)
    for name, value in given.items():
        if value is None or name not in compared:
            continue
        known: set[str] = set()
        for some in (values for column in compared[name] for values in occurring(results, query, column)):
            known |= some
            if str(value) in known:
                break
        else:
            if known:
                raise _absent(name, str(value), known)


def unmatched(results: Results, query: Query, given: Mapping[str, Any]) -> str:
    """One line on values, given or by default, that no row has together, with those that occur nearest to them.

    Looked for in the one table or view that the query reads and that has the columns of all its parameters; empty
    where there is none, it has no rows, or a row has them all, for then it is not the values that match nothing.
    """
    asked = {name: str(value) for name, value in query.bind(dict(given)).items() if value is not None}
    known = columns(results, query)
    compared = {name: known[name][0] for name in asked if name in known}
    place = _having_all(results, query, set(compared.values())) if len(compared) > 1 else None
    if place is None:
        return ""
    rows = results.sql(
        f"select distinct {', '.join(sorted(set(compared.values())))} from {place}"
    ).to_pylist()
    differing = [
        {name: str(row[column]) for name, column in compared.items() if str(row[column]) != asked[name]}
        for row in rows
        if all(row[column] is not None for column in compared.values())
    ]
    # A value that was given is kept where one by default can be changed.
    fewest = min(differing, key=lambda changes: _distance(changes, given), default={})
    if not fewest:
        return ""
    near = sorted(
        ", ".join(f"{name}={value}" for name, value in changes.items())
        for changes in differing
        if _distance(changes, given) == _distance(fewest, given)
    )
    more = f"; and {len(near) - SHOWN} more" if len(near) > SHOWN else ""
    together = ", ".join(f"{name}={asked[name]}" for name in compared)
    return (
        f"{query.name}: nothing has {together} together. With the rest as asked there is "
        f"{'; '.join(near[:SHOWN])}{more}"
    )


def _distance(changes: Mapping[str, str], given: Mapping[str, Any]) -> tuple[int, int]:
    return sum(name in given for name in changes), len(changes)


def _having_all(results: Results, query: Query, needed: set[str]) -> str | None:
    """A table or view that the query reads and that has these columns."""
    shown = results.sql("from (show all tables)").to_pylist()
    read = set(re.findall(r"\w+", query.text)) & set(results.names)
    having = (row["name"] for row in shown if row["name"] in read and needed <= set(row["column_names"]))
    return min(having, default=None)


def columns(results: Results, query: Query) -> dict[str, tuple[str, ...]]:
    """For each parameter that the query compares for equality the columns, as its tables call them: that of its own
    name first."""
    found: dict[str, set[str]] = {}
    for node in nodes(results.parse(query.text)):
        if node.get("type") in EQUALS:
            sides = {side["class"]: side for side in (node["left"], node["right"])}
            if sides.keys() == {"COLUMN_REF", "PARAMETER"}:
                column = sides["COLUMN_REF"]["column_names"][-1]
                found.setdefault(sides["PARAMETER"]["identifier"], set()).add(column)
    return {
        name: tuple(sorted(several, key=lambda column: (column != name, column)))
        for name, several in found.items()
    }


def occurring(results: Results, query: Query, column: str) -> Iterator[set[str]]:
    """The values of a column, table by table: those first that the query reads, of which alone may hold what was not
    measured; of a column that the query below this one computes those of its answer."""
    if query.below and column in _computed(results, query):
        rows = results.query(query.below)
        yield _texts(rows[column].to_pylist()) if column in rows.column_names else set()
        return
    shown = results.sql("from (show all tables)").to_pylist()
    having = {row["name"] for row in shown if column in row["column_names"]} & set(results.names)
    read = {
        node["table_name"] for node in nodes(results.parse(query.text)) if node.get("type") == "BASE_TABLE"
    }
    for place in sorted(having - (MAY_BE - read), key=lambda name: (name not in read, name)):
        yield _texts(results.sql(f"select distinct {column} as value from {place}")["value"].to_pylist())


def _computed(results: Results, query: Query) -> set[str]:
    """Names that the query gives to what it computes."""
    named = (node for node in nodes(results.parse(query.text)) if node.get("alias"))
    return {node["alias"] for node in named if node.get("class") not in (None, "COLUMN_REF")}


def _texts(values: Iterable[Any]) -> set[str]:
    return {str(value) for value in values if value not in (None, "")}


def _absent(name: str, value: str, known: set[str]) -> UnknownName:
    more = f", and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return UnknownName(
        f"--param {name}: '{value}' occurs nowhere in these results.{nearest(value, known)} "
        f"There is: {', '.join(sorted(known)[:SHOWN])}{more}"
    )
