"""Write the report of an audit: `python -m orchestrator.report [RESULTS]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from orchestrator.errors import Exit, run_command

EXAMPLES = """examples:
  python -m orchestrator.report                                  results/ to report.html
  python -m orchestrator.report results --output audit.html      another file
  python -m orchestrator.report results --figures figures        also every figure as SVG and PDF, for papers
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write one self-contained HTML file on the results of a sweep, and vector figures."""

    results: Annotated[str, tyro.conf.Positional] = "results"
    """Results directory: what the sweep was given as --out."""
    output: Path = Path("report.html")
    """File to write."""
    figures: Path | None = None
    """Directory for every figure as SVG and PDF."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the report."""
    command = tyro.cli(
        Command,
        args=arguments,
        prog="python -m orchestrator.report",
        description=f"{Command.__doc__}\n\n{EXAMPLES}",
    )
    from orchestrator.report.write import (
        build,
        check_folder,
        write_figures,
        write_text,
    )  # matplotlib, duckdb: not for --help

    check_folder(command.output, flag="--output")
    page, sections = build(command.results)
    write_text(command.output, page, flag="--output")
    sys.stderr.write(f"report in {command.output}: open it in a browser\n")
    if command.figures is not None:
        count = write_figures(command.figures, sections)
        sys.stderr.write(f"{count} figures in {command.figures}\n")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
