"""Values of parameters that occur nowhere in the results, which a query would answer with no rows.

The column that a parameter belongs to is the one that the query itself compares it with.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.results.catalogue import Query
from orchestrator.results.connection import SHIPPED, Results
from orchestrator.results.reading import nodes
from tasks.errors import UnknownName

MAY_BE = SHIPPED.keys() | {"declared"}
"""Tables and views whose names are those that Lethe knows or that a run declared, measured or not."""
EQUALS = ("COMPARE_EQUAL", "COMPARE_NOT_DISTINCT_FROM")
SHOWN = 20
"""Values that a message lists."""


def check_values(results: Results, query: Query, given: Mapping[str, Any]) -> None:
    """Refuse a value that no table or view has in the column that its parameter is compared with.

    Results that have no value at all in such a column say nothing of a typing error: the query answers.

    Raises:
        UnknownName: there is such a value; the message names the nearest that occurs.
    """
    compared = columns(results, query)
    for name, value in given.items():
        if value is None or name not in compared:
            continue
        known: set[str] = set()
        for some in _values(results, query, compared[name]):
            known |= some
            if str(value) in known:
                break
        else:
            if known:
                raise _absent(name, str(value), known)


def columns(results: Results, query: Query) -> dict[str, str]:
    """For each parameter that the query compares for equality the column, as its tables call it."""
    found = {}
    for node in nodes(results.parse(query.text)):
        if node.get("type") in EQUALS:
            sides = {side["class"]: side for side in (node["left"], node["right"])}
            if sides.keys() == {"COLUMN_REF", "PARAMETER"}:
                found[sides["PARAMETER"]["identifier"]] = sides["COLUMN_REF"]["column_names"][-1]
    return found


def _values(results: Results, query: Query, column: str) -> Iterator[set[str]]:
    """The values of a column, table by table: those first that the query reads, of which alone may hold what
    was not measured."""
    shown = results.sql("from (show all tables)").to_pylist()
    having = {row["name"] for row in shown if column in row["column_names"]} & set(results.names)
    read = set(re.findall(r"\w+", query.text))
    for place in sorted(having - (MAY_BE - read), key=lambda name: (name not in read, name)):
        rows = results.sql(f"select distinct {column} as value from {place}")
        yield {str(value) for value in rows["value"].to_pylist() if value not in (None, "")}


def _absent(name: str, value: str, known: set[str]) -> UnknownName:
    near = difflib.get_close_matches(value, sorted(known), n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    more = f", and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return UnknownName(
        f"--param {name}: '{value}' occurs nowhere in these results.{hint} "
        f"There is: {', '.join(sorted(known)[:SHOWN])}{more}"
    )
