"""Write the report of an audit: `python -m orchestrator.report [RESULTS]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from orchestrator.command_line import Flag, ResultsDirectory, parse
from orchestrator.config.plugins import load_plugins
from orchestrator.errors import Exit, run_command
from tasks.errors import AuditError

EXAMPLES = """examples:
  python -m orchestrator.report                               to report.html
  python -m orchestrator.report results --output audit.html   to another file
  python -m orchestrator.report results --figures figures     also SVG and PDF
"""
EVERY = 10
"""Seconds between two looks at a running sweep, unless the user says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write one self-contained HTML file on the results of a sweep, and vector figures."""

    results: ResultsDirectory = "results"
    """Results directory: what the sweep was given as --out."""
    run: Annotated[str | None, Flag(value="ID", otherwise="the latest")] = None
    """Rest on the cells that this run asked for."""
    output: Annotated[Path, Flag(value="FILE")] = Path("report.html")
    """File to write."""
    figures: Annotated[Path | None, Flag(value="DIRECTORY", otherwise="in the page only")] = None
    """Also write every figure as SVG and PDF, for papers."""
    watch: bool = False
    """Write the page again while a sweep runs; a browser shows it by itself. Ends with the sweep, or Ctrl-C."""
    every: Annotated[int | None, Flag(value="SECONDS", otherwise="10", smallest=1)] = None
    """With --watch: seconds between two looks."""
    examples: bool = False
    """Show examples of your data in the page, and not their ids alone; those of embedded data are always shown."""
    plugins: Annotated[tuple[str, ...], Flag(value="MODULE", otherwise="none")] = ()
    """Your modules to import, where the images come from a data set of theirs."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the report."""
    command = parse(Command, arguments, prog="python -m orchestrator.report", examples=EXAMPLES)
    from orchestrator.report import write  # matplotlib, duckdb: not for --help

    write.check_folder(command.output, flag="--output")
    if command.figures is not None:
        write.check_no_file(command.figures, flag="--figures")
    if command.every is not None and not command.watch:
        raise AuditError("--every: expected together with --watch")
    if command.watch and command.figures is not None:
        raise AuditError("--figures: expected without --watch: figures are written of what has ended")
    load_plugins(command.plugins, named_by="--plugins")
    if command.watch:
        from orchestrator.report.watch import watch

        def make(refresh: int | None) -> str:
            return write.build(command.results, command.run, examples=command.examples, refresh=refresh)[0]

        every = command.every or EVERY
        return watch(make, command.results, command.run, output=command.output, every=every)
    page, sections = write.build(command.results, command.run, examples=command.examples)
    write.write_page(command.output, page, flag="--output")
    sys.stderr.write(f"report in {command.output}: open it in a browser\n")
    if command.figures is not None:
        count = write.write_figures(command.figures, sections)
        sys.stderr.write(f"{count} figures in {command.figures}\n")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
