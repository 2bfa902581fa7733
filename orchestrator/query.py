"""Ask the results: `python -m orchestrator.query [NAME | file.sql | "statement"]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from orchestrator.command_line import Flag, parse
from orchestrator.errors import Exit, run_command
from orchestrator.results.catalogue import Query, catalogue, parse_value
from tasks.errors import AuditError

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.results.connection import Results

EXAMPLES = """examples:
  python -m orchestrator.query leaderboard --param metric=accuracy split=forget
  python -m orchestrator.query robust_drop --format latex --output drop.tex
  python -m orchestrator.query "select method, count(*) from cells group by all"
"""

Form = Literal["table", "csv", "markdown", "latex", "json", "parquet", "arrow"]


@dataclass(frozen=True, kw_only=True)
class Command:
    """Run SQL over the results of a sweep: a query that ships, a file, a statement, or a prompt."""

    query: Annotated[str, Flag(value="QUERY", otherwise="a prompt", positional=True)] = ""
    """Name of a query that ships (see --list), path of a .sql file, or a statement."""
    results: Annotated[str, Flag(value="DIRECTORY")] = "results"
    """Results directory: what the sweep was given as --out."""
    param: Annotated[tuple[str, ...], Flag(value="NAME=VALUE", otherwise="those of its header")] = ()
    """Parameters of the query."""
    format: Annotated[Form | None, Flag(otherwise="by the suffix of --output, else table")] = None
    """Form of the answer."""
    output: Annotated[Path | None, Flag(value="FILE", otherwise="stdout")] = None
    """File for the answer in place of stdout."""
    list: Annotated[bool, Flag(group="in place of a query")] = False
    """List the queries that ship, with their parameters, and stop."""
    export: Annotated[
        Path | None, Flag(value="DIRECTORY", group="in place of a query", otherwise="no export")
    ] = None
    """Write every table as Parquet into this directory, with the SQL of the views, and stop."""
    verify: Annotated[bool, Flag(group="in place of a query")] = False
    """Read every result file, name those that are damaged, and stop."""
    repair: Annotated[bool, Flag(group="in place of a query")] = False
    """Move damaged files aside, so that the next sweep computes them again, and stop."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, answer, and return the exit code."""
    command = parse(Command, arguments, prog="python -m orchestrator.query", examples=EXAMPLES)
    if command.list:
        return _list()
    if command.verify or command.repair:
        return _verify(command)
    from orchestrator.results.connection import Results  # duckdb and pyarrow: not for --help and --list

    with Results(command.results) as results:
        if command.export:
            return _export(results, command.export)
        if not command.query:
            return _prompt(results)
        return _answer(results, command)


def parse_params(texts: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` texts as parameters."""
    params = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise AuditError(f"--param: expected name=value, got '{text}'")
        params[name] = parse_value(value)
    return params


def is_name(text: str) -> bool:
    """Whether the text names a query or a file, and is no statement."""
    return text.endswith(".sql") or text.isidentifier()


def _answer(results: Results, command: Command) -> int:
    form = _form(command)
    params = parse_params(command.param)
    if is_name(command.query):
        rows = results.query(command.query, **params)
    else:
        rows = results.sql(command.query, **params)
    _write(rows, form, command.output)
    return Exit.FINISHED


def _form(command: Command) -> Form:
    from orchestrator.results.formats import SUFFIXES

    if command.format is not None:
        return command.format
    return SUFFIXES.get(command.output.suffix, "table") if command.output else "table"


def _write(rows: pa.Table, form: Form, output: Path | None) -> None:
    from orchestrator.results.formats import render

    content = render(rows, form)
    if output is None:
        if form in ("parquet", "arrow") and sys.stdout.isatty():
            raise AuditError(f"--format {form}: expected --output FILE, for a terminal shows no binary data")
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise AuditError(f"--output: cannot write {output}: {error.strerror}") from error


def _list() -> int:
    for query in catalogue().values():
        sys.stdout.write(f"{query.name}: {query.question}\n")
        if query.grain:
            sys.stdout.write(f"    one row per {query.grain}\n")
        if query.defaults or query.required:
            sys.stdout.write(f"    --param {' '.join(_parameters(query))}\n")
    return Exit.FINISHED


def _parameters(query: Query) -> list[str]:
    optional = [f"[{name}={'null' if value is None else value}]" for name, value in query.defaults.items()]
    return [f"{name}=VALUE" for name in query.required] + optional


def _verify(command: Command) -> int:
    from orchestrator.store.store import Store

    store = Store(command.results)
    store.check_exists()
    damage = store.verify(repair=command.repair)
    moved = ": moved to _damaged" if command.repair else ""
    for found in damage:
        sys.stdout.write(f"{found.file}: {found.reason}{moved}\n")
    sys.stderr.write(f"{len(damage)} damaged file{'' if len(damage) == 1 else 's'} in {command.results}\n")
    return Exit.FINISHED if command.repair or not damage else Exit.CELLS_FAILED


def _export(results: Results, directory: Path) -> int:
    for path in results.export(directory):
        sys.stdout.write(f"{path}\n")
    return Exit.FINISHED


def _prompt(results: Results) -> int:
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
    return Exit.FINISHED


def _mark(text: str) -> str:
    return ("   ... " if text else "lethe> ") if sys.stdin.isatty() else ""


def _try(results: Results, text: str) -> None:
    try:
        results.refresh()
        name = text.rstrip("; ")
        _write(results.query(name) if is_name(name) else results.sql(text), "table", None)
        sys.stdout.flush()
    except AuditError as error:
        sys.stderr.write(f"error: {error}\n")


if __name__ == "__main__":
    sys.exit(run_command(main))
