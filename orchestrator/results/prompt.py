"""A prompt for SQL: statements and names of queries that ship, each answered as a table."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from orchestrator.errors import one_line
from orchestrator.results.answer import answer, show, why_empty
from orchestrator.results.catalogue import catalogue
from tasks.errors import AuditError

if TYPE_CHECKING:
    from orchestrator.results.connection import Results


def prompt(results: Results) -> None:
    """Read statements until the input ends; an error is a line and the prompt goes on."""
    if sys.stdin.isatty():
        import readline  # noqa: F401 - gives input() history and editing

        sys.stderr.write(
            f"tables: {', '.join(results.names)}\nend a statement with ; and leave with Ctrl-D\n"
        )
    names, text = set(catalogue()), ""
    while True:
        try:
            text = f"{text}\n{input(_mark(text))}".strip()
        except EOFError:
            break
        if text.endswith((";", ".sql")) or text in names:
            _try(results, text)
            text = ""
    if text:
        _try(results, text)


def _mark(text: str) -> str:
    return ("   ... " if text else "lethe> ") if sys.stdin.isatty() else ""


def _try(results: Results, text: str) -> None:
    try:
        results.refresh()
        asked = text.rstrip("; ")
        rows = answer(results, asked)
        show(rows, asked)
        sys.stdout.flush()
        sys.stderr.write(why_empty(rows, results, asked))
    except AuditError as error:
        sys.stderr.write(f"error: {one_line(error)}\n")
