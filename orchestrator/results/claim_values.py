"""Values of parameters that occur in the results, and with which a claim has no answer nevertheless."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.results.catalogue import Query
from orchestrator.results.claim_sentences import Rows
from orchestrator.results.parameters import columns, unmatched
from tasks.errors import unknown_name

if TYPE_CHECKING:
    from orchestrator.results.connection import Results


def unanswered_value(results: Results, query: Query, given: Mapping[str, Any]) -> str:
    """One line on the given value without which the claim has an answer, with those that it has one for; empty where
    there is no such value."""
    asked = {name: value for name, value in given.items() if value is not None and name != "margin"}
    if said := unmatched(results, query, asked) if asked else "":
        return said
    compared = columns(results, query)
    for name, value in asked.items():
        rows = results.query(
            query.name, **{key: other for key, other in asked.items() if key != name}
        ).to_pylist()
        if any(row["is_claim"] for row in rows):
            column = compared.get(name, (name,))[0]
            # A query shows the attack and the radius that it chose; the one below it shows all of them.
            every = results.query(query.below).to_pylist() if query.below else rows
            return str(
                unknown_name(
                    "answer for the value",
                    str(value),
                    _known(every, column),
                    where=f"{query.name}: --param {name}",
                )
            )
    return ""


def _known(rows: Rows, column: str) -> set[str]:
    return {str(row[column]) for row in rows if row.get(column) is not None}
