"""Ask the results: `python -m orchestrator.query [NAME | file.sql | "statement"]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from orchestrator.command_line import Flag, parse
from orchestrator.errors import Exit, printable, run_command
from orchestrator.results.answer import answer, in_brief, why_empty, write
from orchestrator.results.catalogue import listing, parse_params
from orchestrator.results.claim_listing import CLAIMS, show
from orchestrator.results.claims import answers
from orchestrator.results.forms import Format, form_of
from orchestrator.results.prompt import prompt

EXAMPLES = """examples:
  python -m orchestrator.query leaderboard --param metric=accuracy split=forget
  python -m orchestrator.query robust_drop --format latex --output drop.tex
  python -m orchestrator.query "select method, count(*) from cells group by all"
  python -m orchestrator.query claims --param claim=c margin=0.01
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Run SQL over the results of a sweep: a query that ships, a file, a statement, or a prompt."""

    query: Annotated[str, Flag(value="QUERY", otherwise="a prompt", positional=True)] = ""
    """Name of a query that ships (see --list), path of a .sql file, a statement, or claims: what the results say of
    each claim of the papers (guide/claims.md)."""
    results: Annotated[str, Flag(value="DIRECTORY")] = "results"
    """Results directory: what the sweep was given as --out."""
    run: Annotated[str | None, Flag(value="ID|all", otherwise="the latest")] = None
    """Answer for the cells that this run asked for, or for those of all runs, each setting in rows of its own; claims
    takes all where it is left out."""
    param: Annotated[tuple[str, ...], Flag(value="NAME=VALUE", otherwise="those of its header")] = ()
    """Parameters of the query."""
    format: Annotated[Format | None, Flag(otherwise="by the suffix of --output, else table")] = None
    """Form of the answer; csv keeps text as it is, so that a spreadsheet runs what begins with =, +, - or @."""
    all_columns: bool = False
    """Show every column in a table too, and not only those that answer the question of the query."""
    output: Annotated[Path | None, Flag(value="FILE", otherwise="stdout")] = None
    """File for the answer in place of stdout."""
    list: Annotated[bool, Flag(group="in place of a query")] = False
    """List the queries that ship, with their parameters, and stop."""
    export: Annotated[
        Path | None, Flag(value="DIRECTORY", group="in place of a query", otherwise="no export")
    ] = None
    """Write every table as Parquet into this directory, in place of an earlier export, and stop."""
    verify: Annotated[bool, Flag(group="in place of a query")] = False
    """Read every result file, name those that are damaged, and stop."""
    repair: Annotated[bool, Flag(group="in place of a query")] = False
    """Move damaged files aside, so that the next sweep computes them again, and stop."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, answer, and return the exit code."""
    command = parse(Command, arguments, prog="python -m orchestrator.query", examples=EXAMPLES)
    if command.list:
        sys.stdout.write("".join(f"{line}\n" for line in listing()))
        return Exit.FINISHED
    if command.verify or command.repair:
        return _check(command)
    form = command.format or form_of(command.output)
    from orchestrator.results.connection import Results  # duckdb, likewise

    claims = command.query == CLAIMS
    with Results(command.results, command.run or ("all" if claims else None)) as results:
        if command.export:
            sys.stdout.write("".join(f"{path}\n" for path in results.export(command.export)))
        elif not command.query:
            prompt(results)
        elif claims:
            show(answers(results, **parse_params(command.param)), form, command.output, command.results)
        else:
            params = parse_params(command.param)
            rows = answer(results, command.query, **params)
            brief, others = (rows, "")
            if form == "table" and not command.all_columns:
                brief, others = in_brief(rows, command.query)
            write(brief, form, command.output)
            sys.stderr.write(others + why_empty(rows, results, command.query, **params))
    return Exit.FINISHED


def _check(command: Command) -> int:
    """Name every damage on stdout, set it aside with --repair, and say on stderr how many there were."""
    from orchestrator.store.files import MARKER  # pyarrow: not for --help and --list
    from orchestrator.store.store import Store
    from orchestrator.store.verify import nested, remarks, repair, verify

    store = Store(command.results)
    store.check_exists()
    count, left = 0, 0
    for place in (store, *nested(store)):
        where = "" if place is store else f"{place.root.removeprefix(store.root)[1:]}/"
        for damage in repair(place) if command.repair else verify(place):
            told = ""
            if command.repair and damage.state == "damaged":
                told = "; moved to _damaged"
            elif command.repair and damage.lost:
                told = "; recorded as lost"
            resting = f"; {damage.cells} cells rest on it" if damage.cells else ""
            sys.stdout.write(printable(f"{where}{damage.file}: {damage.reason}{resting}{told}") + "\n")
            mended = bool(told) or (command.repair and damage.file == MARKER and damage.state != "unreadable")
            count, left = count + 1, left + (not mended)
    sys.stderr.write(f"{count} damaged or missing in {command.results}\n")
    for place in (store, *nested(store)) if left == 0 else ():
        for line in remarks(place):
            sys.stderr.write(f"{printable(line)}\n")
    return Exit.CELLS_FAILED if left else Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
