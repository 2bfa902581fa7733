"""Judges SQL by its parse: only statements that read are run.

Not by first words, which tell nothing of what a `with` or an `explain` holds, and not by a list of what writes, which
ends with the next release of DuckDB: DuckDB's own parser gives the whole tree, every node of it must be of a kind
known to read, and every function in a `from` one known to touch nothing. What is unknown is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from tasks.errors import AuditError

COMMENT = r"--[^\n\r]*[\n\r]"
"""A pattern; it ends where DuckDB ends a comment, at a carriage return too: what stands behind one is run."""
EXPLAIN = re.compile(rf"(?:\s|{COMMENT})*explain\s(?:\s*analyze\s)?", re.IGNORECASE)
"""The head of an explained statement; DuckDB gives no tree of it, so that the statement after it is judged."""
QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
READING = QUERIES | {
    *("BASE_TABLE", "SUBQUERY", "JOIN", "EXPRESSION_LIST", "EMPTY", "PIVOT", "SHOW_REF", "TABLE_FUNCTION"),
    *("ORDER_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "DISTINCT_MODIFIER"),
    *("ASCENDING", "DESCENDING", "ORDER_DEFAULT"),
}
"""Kinds of all nodes that are no expressions; an expression writes only through a query, or a function, in it."""
SOURCES = frozenset(
    {
        *("range", "generate_series", "repeat", "unnest", "json_each", "json_tree", "histogram_values"),
        *("duckdb_columns", "duckdb_functions", "duckdb_tables", "duckdb_views", "duckdb_types"),
        *("pragma_table_info", "pragma_version"),
    }
)
"""Functions that a `from` may name. Others open files, take pointers, switch settings, or run a text as SQL."""
ACTING = frozenset({"setseed", "setval", "nextval", "write_log", "sleep_ms"})
"""Functions of an expression that do more than compute."""
MOST_KNOWN = 1_000
"""Texts that are remembered to read: what a report asks is asked of every session of a process, and often twice."""
_known: set[str] = set()


def check_reads(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Refuse SQL that parses, and does anything but read.

    Raises:
        AuditError: a statement writes or changes the session, or its tree is too deep to be judged.
    """
    if text in _known:  # a judgement rests on the text alone
        return
    _judge(connection, text)
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known.add(text)


def _judge(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    for statement in statement_trees(connection, text):
        _check(statement["node"]["type"] in QUERIES, statement["node"]["type"])
        for node in nodes(statement):
            kind = node.get("type")
            if "class" not in node and isinstance(kind, str):
                _check(kind in READING, kind)
            if kind == "TABLE_FUNCTION":
                _check_function(node["function"]["function_name"].lower() in SOURCES, node["function"])
            elif kind == "FUNCTION":
                _check_function(node["function_name"].lower() not in ACTING, node)


def statement_trees(connection: duckdb.DuckDBPyConnection, text: str) -> list[dict[str, Any]]:
    """DuckDB's parse of each statement of SQL that parses; of an explained one what is explained.

    The text is parsed whole, as it will be run: cut into statements here it could be cut at another place.

    Raises:
        AuditError: a statement is no query, or its tree is too deep.
    """
    head = EXPLAIN.match(text)
    asked = text[head.end() :] if head else text
    try:
        [(tree,)] = connection.execute("select json_serialize_sql($1)", [asked]).fetchall()
        parsed = json.loads(tree)
    except RecursionError as error:
        raise AuditError("query: the statement is nested too deeply") from error
    if parsed["error"]:
        kinds = [_kind(statement) for statement in connection.extract_statements(text)]
        refused = next((kind for kind in kinds if kind != "SELECT"), kinds[0])
        _check(False, "EXPLAIN of one that does not" if refused == "EXPLAIN" else refused)
    trees: list[dict[str, Any]] = parsed["statements"]
    return trees


def _kind(statement: Any) -> str:
    try:
        return str(statement.type.name)
    except (
        ValueError
    ):  # duckdb's package has no name for some that its parser knows, such as UPDATE EXTENSIONS
        return "one of a kind without a name"


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parse."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(value for value in node.values() if isinstance(value, (dict, list)))
        elif isinstance(node, list):
            waiting.extend(node)


def _check(reads: bool, kind: str) -> None:
    if not reads:
        name = kind.removesuffix("_NODE").removesuffix("_QUERY")
        raise AuditError(f"query: expected a statement that reads (select, describe), got {name}")


def _check_function(known: bool, call: dict[str, Any]) -> None:
    if not known:
        raise AuditError(
            f"query: expected tables of these results and functions that compute, got {call['function_name']}()"
        )
