"""Write the report of an audit: `python -m orchestrator.report [RESULTS]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from orchestrator.command_line import Flag, ResultsDirectory, parse
from orchestrator.config.plugins import load_plugins
from orchestrator.errors import Exit, run_command
from tasks.errors import AuditError

EXAMPLES = """examples:
  python -m orchestrator.report                      to report.html
  python -m orchestrator.report results --watch      while a sweep runs
  python -m orchestrator.report results --figures figures --only forest cost
"""
OUTPUT = Path("report.html")
"""The page, unless the user says otherwise."""
STYLE, WIDTH = "paper", 5.5
"""Of figures, unless the user says otherwise; the width in inches."""
EVERY = 10
"""Seconds between two looks at a running sweep, unless the user says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write one self-contained HTML file on the results of a sweep, and vector figures."""

    results: ResultsDirectory = "results"
    """Results directory: what the sweep was given as --out."""
    run: Annotated[str | None, Flag(value="ID", otherwise="the latest")] = None
    """Rest on the cells that this run asked for."""
    output: Annotated[Path | None, Flag(value="FILE", otherwise="report.html; no page with --only")] = None
    """The page, the file to write."""
    facts: Annotated[Path | None, Flag(value="FILE", otherwise="in the page only")] = None
    """Also write everything that the page says, as JSON."""
    figures: Annotated[Path | None, Flag(value="DIRECTORY", otherwise="in the page only")] = None
    """Also write every chart as SVG and PDF, for papers, with its rows as CSV: a figure for each place (architecture
    and forget set) and each choice that the page offers there, such as a measure or an attack."""
    only: Annotated[tuple[str, ...], Flag(value="CHART", otherwise="all")] = ()
    """With --figures: these charts alone, such as forest, robustness, exposure, cost; a page only where --output names
    it."""
    width: Annotated[float | None, Flag(value="INCHES", otherwise="5.5", smallest=1.0, largest=100.0)] = None
    """With --figures: width of a figure."""
    style: Annotated[Literal["paper", "grey", "slides"] | None, Flag(otherwise="paper")] = None
    """With --figures: colours on white, shades of grey for print in black, or colours on dark."""
    watch: bool = False
    """Write the page again while a sweep runs; a browser shows it by itself. Ends with the sweep, or Ctrl-C."""
    every: Annotated[int | None, Flag(value="SECONDS", otherwise="10", smallest=1, largest=86400)] = None
    """With --watch: seconds between two looks."""
    examples: bool = False
    """Show examples of your data in the page, and not their ids alone; those of embedded data are always shown."""
    plugins: Annotated[tuple[str, ...], Flag(value="MODULE", otherwise="none")] = ()
    """Your modules to import, where the images come from a data set of theirs."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the report."""
    command = parse(Command, arguments, prog="python -m orchestrator.report", examples=EXAMPLES)
    from orchestrator.report import write  # duckdb: not for --help
    from orchestrator.report.facts.facts import gather_facts
    from orchestrator.report.page import report_page
    from orchestrator.store.runs import check_one

    check_one(command.run)
    page = command.output or (None if command.only else OUTPUT)
    write.check_asked(page, command.facts, command.figures, command.only)
    if command.every is not None and not command.watch:
        raise AuditError("--every: expected together with --watch")
    for flag, given in (("--width", command.width), ("--style", command.style)):
        if given is not None and command.figures is None:
            raise AuditError(f"{flag}: expected --figures DIRECTORY beside it: it is of figures alone")
    for flag, path in (("--figures", command.figures), ("--facts", command.facts)):
        if command.watch and path is not None:
            raise AuditError(f"{flag}: expected without --watch: it is written of what has ended")
    load_plugins(command.plugins, named_by="--plugins")
    if command.watch:
        from orchestrator.report.watch import watch

        def make(refresh: int | None) -> str:
            return write.build(command.results, command.run, examples=command.examples, refresh=refresh)[0]

        every = command.every or EVERY
        return watch(make, command.results, command.run, output=command.output or OUTPUT, every=every)
    with write.answers_of(command.results, command.run) as answers:
        facts = gather_facts(answers, examples=command.examples) if page or command.facts else None
        drawn = write.drawn_charts(answers, command.only) if command.figures else []
    if page is not None and facts is not None:
        write.write_page(page, report_page(facts), flag="--output")
        sys.stderr.write(f"report in {page}: open it in a browser\n")
    if command.facts is not None and facts is not None:
        write.write_page(command.facts, facts.as_json(), flag="--facts")
        sys.stderr.write(f"facts in {command.facts}\n")
    if command.figures is not None:
        write.write_figures(
            command.figures, drawn, style=command.style or STYLE, width=command.width or WIDTH
        )
        sys.stderr.write(f"{len(drawn)} figures in {command.figures}\n")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
