"""Answers a question in SQL, or by the name of a query, and writes the rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import printable
from orchestrator.results.catalogue import find_query
from orchestrator.results.forms import BINARY, Format
from orchestrator.store.whole_file import whole_file
from tasks.errors import AuditError

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.results.connection import Results


def answer(results: Results, text: str, **params: Any) -> pa.Table:
    """The rows of a query that ships, of a .sql file, or of a statement.

    Raises:
        AuditError: as `Results.sql`, and where a value for a query that ships occurs nowhere in the results.
    """
    if params and text.isidentifier():
        from orchestrator.results.parameters import check_values  # duckdb: not for --help

        query = find_query(text)
        query.bind(params)
        check_values(results, query, params)
    named = text.endswith(".sql") or text.isidentifier()
    return results.query(text, **params) if named else results.sql(text, **params)


def why_empty(rows: pa.Table, results: Results, text: str, **params: Any) -> str:
    """A line where a query that ships gave no rows since the values of its parameters do not occur together."""
    if rows.num_rows or not text.isidentifier():
        return ""
    from orchestrator.results.parameters import unmatched  # duckdb: not for --help

    remark = unmatched(results, find_query(text), params)
    return f"{printable(remark)}\n" if remark else ""


def in_brief(rows: pa.Table, text: str) -> tuple[pa.Table, str]:
    """The columns of a query that ships that answer its question, for a terminal; and a line on the others, if any."""
    shown = find_query(text).shown if text.isidentifier() else ()
    if not shown:
        return rows, ""
    brief = f"{len(shown)} of {rows.num_columns} columns: --all-columns, or another --format, shows all\n"
    return rows.select(list(shown)), brief


def write(rows: pa.Table, form: Format, output: Path | None) -> None:
    """Write rows in a form, to a file or to stdout.

    Raises:
        AuditError: the file cannot be written, or stdout is a terminal and the form binary.
    """
    from orchestrator.results.formats import render  # pyarrow: not for --help

    content = render(rows, form)
    if output is None:
        if form in BINARY and sys.stdout.isatty():
            raise AuditError(f"--format {form}: expected --output FILE, for a terminal shows no binary data")
        sys.stdout.buffer.write(content)
        return
    try:
        with whole_file(output) as sink:
            sink.write(content)
    except OSError as error:
        raise AuditError(f"--output: cannot write {output}: {error.strerror}") from error
