"""Ask the results: `python -m orchestrator.query [NAME | file.sql | "statement"]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from orchestrator.command_line import Flag, flags_of, parse
from orchestrator.errors import Exit, printable, run_command
from orchestrator.results.answer import answer, show, show_columns, why_empty, write, write_content
from orchestrator.results.catalogue import listing, parse_params
from orchestrator.results.claim_listing import CLAIMS
from orchestrator.results.claim_listing import show as show_claims
from orchestrator.results.claims import answers
from orchestrator.results.forms import SUFFIXES, Format, check_directory_name, form_of
from orchestrator.results.prompt import prompt
from tasks.errors import AuditError

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

EXAMPLES = """examples:
  python -m orchestrator.query leaderboard --param metric=accuracy split=forget
  python -m orchestrator.query "select method, count(*) from cells group by all"
  python -m orchestrator.query table --rows architecture forget_set scope \\
      --output table1.tex
"""
TABLE = "table"
"""The word for a table of a paper, in place of a query's name."""
PAPER = f"of the query `{TABLE}`: models by measures, means over seeds"
SEVERAL = "refused where there are several"


@dataclass(frozen=True, kw_only=True)
class Command:
    """Run SQL over the results of a sweep: a query that ships, a file, a statement, or a prompt."""

    query: Annotated[str, Flag(value="QUERY", otherwise="a prompt", positional=True)] = ""
    """Name of a query that ships (see --list), path of a .sql file, a statement, `table` for a table of a paper, or
    `claims` for what the results say of each claim of the papers (guide/claims.md)."""
    results: Annotated[str, Flag(value="DIRECTORY")] = "results"
    """Results directory: what the sweep was given as --out."""
    run: Annotated[str | None, Flag(value="ID|all", otherwise="the latest")] = None
    """Answer for the cells that this run asked for, or for those of all runs, each setting in rows of its own; claims
    takes all where it is left out."""
    param: Annotated[tuple[str, ...], Flag(value="NAME=VALUE", otherwise="those of its header")] = ()
    """Parameters of the query."""
    format: Annotated[Format | None, Flag(otherwise="by the suffix of --output, else table")] = None
    """Form of the answer; csv keeps text as it is, so that a spreadsheet runs what begins with =, +, - or @."""
    wide: bool = False
    """Show every column on a terminal too, and not only those that answer the question and that it has room for."""
    output: Annotated[Path | None, Flag(value="FILE", otherwise="stdout")] = None
    """File for the answer in place of stdout."""
    rows: Annotated[tuple[str, ...], Flag(value="AXIS", group=PAPER, otherwise="method")] = ()
    """What rows are: method, scope, forget_set, architecture, dataset, setting, or several; the method always is."""
    columns: Annotated[
        tuple[str, ...],
        Flag(value="METRIC[:SPLIT]", group=PAPER, otherwise="primary measures, average gap, cost, verdict"),
    ] = ()
    """Measures, behind commas or spaces; attack=, variant=, game= and eps= behind a comma narrow the one before. Also
    cost, seconds and verdict."""
    spread: Annotated[Literal["sd", "interval"] | None, Flag(group=PAPER, otherwise="sd")] = None
    """What stands beside a mean: the standard deviation over seeds, or the 95 % interval of the mean."""
    architecture: Annotated[str | None, Flag(value="NAME", group=PAPER, otherwise=SEVERAL)] = None
    """The architecture."""
    forget_set: Annotated[str | None, Flag(value="NAME", group=PAPER, otherwise=SEVERAL)] = None
    """The forget set."""
    scope: Annotated[str | None, Flag(value="SCOPE", group=PAPER, otherwise=SEVERAL)] = None
    """The layer scope of unlearned models; controls stay."""
    method: Annotated[str | None, Flag(value="NAME", group=PAPER, otherwise="all")] = None
    """The only method; controls stay."""
    attack: Annotated[tuple[str, ...], Flag(value="NAME", group=PAPER, otherwise=SEVERAL)] = ()
    """Attacks, a column each, for measures that were taken under several."""
    split: Annotated[tuple[str, ...], Flag(value="NAME", group=PAPER, otherwise=SEVERAL)] = ()
    """Splits, a column each, for measures that do not name theirs."""
    eps: Annotated[tuple[str, ...], Flag(value="RADIUS", group=PAPER, otherwise=SEVERAL)] = ()
    """Radii such as 8/255, a column each, for measures that were taken at several."""
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
    form = form_of(command.output, command.format, SUFFIXES, otherwise="table")
    if command.export is not None:
        check_directory_name(command.export, flag="--export")
    _check_flags(command)
    from orchestrator.results.connection import Results  # duckdb, likewise
    from orchestrator.store.runs import EVERY_RUN  # pyarrow, likewise

    claims = command.query == CLAIMS
    run = command.run or (EVERY_RUN if claims else None)
    with Results(command.results, run) as results:
        if command.export:
            sys.stdout.write("".join(f"{path}\n" for path in results.export(command.export)))
        elif not command.query:
            prompt(results)
        elif command.query == TABLE:
            _write_paper(results, command, form)
        elif claims:
            found = answers(results, **parse_params(command.param))
            show_claims(found, form, command.output, command.results, run or EVERY_RUN)
        else:
            _answer(results, command, form)
    return Exit.FINISHED


def _answer(results: Results, command: Command, form: Format) -> None:
    params = parse_params(command.param)
    rows = answer(results, command.query, **params)
    if form == "table" and command.output is None:
        show(rows, command.query, wide=command.wide)
    else:
        write(rows, form, command.output)
    sys.stderr.write(why_empty(rows, results, command.query, **params))


def _write_paper(results: Results, command: Command, form: Format) -> None:
    from orchestrator.results.paper.columns import Narrowing, radius  # duckdb, likewise
    from orchestrator.results.paper.forms import STAR, caption_of, paper_columns, write_paper
    from orchestrator.results.paper.table import Choices, paper_table
    from orchestrator.results.terminal import room, wrapped

    axes = ("architecture", "forget_set", "scope", "method")
    choices = Choices(
        rows=command.rows or ("method",),
        columns=command.columns,
        of={axis: getattr(command, axis) for axis in axes if getattr(command, axis) is not None},
        narrowing=Narrowing(
            attack=command.attack,
            split=command.split,
            param=tuple(radius(text, where="--eps") for text in command.eps),
        ),
    )
    table, spread = paper_table(results, choices), command.spread or "sd"
    if form == "table" and command.output is None:
        columns = paper_columns(table, spread, STAR.around)
        caption = wrapped(caption_of(table, spread, STAR), None if command.wide else room())
        sys.stdout.write("\n".join([*caption, "", ""]))
        show_columns(columns, columns, wide=command.wide)
    else:
        write_content(write_paper(table, form, spread), form, command.output)


def _check_flags(command: Command) -> None:
    """Refuse a flag that the query does not read, for it would change nothing."""
    if command.query == TABLE:
        if command.param:
            raise AuditError(
                f"--param: the query {TABLE} has none; expected --columns, --rows and what narrows them"
            )
        return
    given = [name for name in flags_of(Command, PAPER) if getattr(command, name) not in (None, ())]
    if given:
        flag = f"--{given[0].replace('_', '-')}"
        raise AuditError(
            f"{flag}: expected with the query {TABLE} alone; other queries take --param NAME=VALUE"
        )


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
