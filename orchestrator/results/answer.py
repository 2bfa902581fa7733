"""Answers a question in SQL, or by the name of a query, and writes the rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import printable
from orchestrator.results.catalogue import find_query
from orchestrator.results.forms import BINARY, Format
from orchestrator.store.whole_file import write_whole
from tasks.errors import AuditError

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.results.aligned import Column
    from orchestrator.results.connection import Results

WIDE = "--wide, a pipe, or another --format has all"


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


def show(rows: pa.Table, text: str, *, wide: bool = False) -> None:
    """Write an answer as a table to stdout, see `show_columns`.

    Args:
        rows: the answer.
        text: the question; of a query that ships, its header says which columns answer it.
        wide: show every column on a terminal too.
    """
    from orchestrator.results.aligned import text_columns  # pyarrow: not for --help

    query = find_query(text) if text.isidentifier() else None
    columns = text_columns(rows)
    chosen = [column for name in (query.shown if query else ()) for column in columns if column.name == name]
    show_columns(columns, chosen or columns, wide=wide, kept=query.kept if query else ())


def show_columns(
    columns: Sequence[Column], chosen: Sequence[Column], *, wide: bool, kept: Sequence[str] = ()
) -> None:
    """Write columns to stdout: all of them, or to a terminal the chosen ones that it has room for, `kept` in any case.

    What is not shown is said on stderr; prose is broken where the terminal ends.
    """
    from orchestrator.results.aligned import table_lines  # rich: not for --help
    from orchestrator.results.terminal import fit, room, wrapped

    width = None if wide else room()
    if width is None:
        sys.stdout.write("\n".join([*table_lines(columns), ""]))
        return
    fitted = fit(chosen, width, kept)
    caption = [*wrapped("; ".join(fitted.shared), width), ""] if fitted.shared else []
    sys.stdout.write("\n".join([*caption, *table_lines(fitted.columns), ""]))
    sys.stdout.flush()
    hidden = len(columns) - len(chosen)
    lines = [f"no room for {', '.join(fitted.left_out)}"] if fitted.left_out else []
    lines += [f"{hidden} more column{'' if hidden == 1 else 's'}"] if hidden else []
    if lines:
        sys.stderr.write("\n".join([*wrapped(f"{'; '.join(lines)}: {WIDE}", width), ""]))


def write(rows: pa.Table, form: Format, output: Path | None) -> None:
    """Write every row and column in a form, to a file or to stdout.

    Raises:
        AuditError: the file cannot be written, or stdout is a terminal and the form binary.
    """
    from orchestrator.results.formats import render  # pyarrow: not for --help

    write_content(render(rows, form), form, output)


def write_content(content: bytes, form: Format, output: Path | None) -> None:
    """Write what was rendered in a form; raises as `write`."""
    if output is None:
        if form in BINARY and sys.stdout.isatty():
            raise AuditError(f"--format {form}: expected --output FILE, for a terminal shows no binary data")
        sys.stdout.buffer.write(content)
        return
    write_whole(output, content, flag="--output")
