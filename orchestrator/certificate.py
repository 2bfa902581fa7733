"""One page on one deletion request, to be filed: `python -m orchestrator.certificate RESULTS ...`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from orchestrator.command_line import Flag, ResultsDirectory, parse
from orchestrator.errors import Exit, run_command

EXAMPLES = """examples (after python -m orchestrator.sweep, whose preset is quick):
  python -m orchestrator.certificate results --forget-set random \\
      --method scrub --architecture resnet_small --scope all
  python -m orchestrator.certificate results --forget-set random \\
      --method scrub --architecture vit_small --scope all
  python -m orchestrator.certificate results --forget-set half_of_class_3 \\
      --method salun --architecture resnet_small --scope all --output three.html
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Write one page on one forget set and the method chosen for it: evidence, controls, limits."""

    results: ResultsDirectory = "results"
    """Results directory: what the sweep was given as --out."""
    forget_set: Annotated[str, Flag(value="NAME")]
    """The deletion request, as named on the forget_set axis."""
    method: Annotated[str, Flag(value="NAME")]
    """The unlearning method that was applied."""
    architecture: Annotated[str | None, Flag(value="NAME", otherwise="the only one")] = None
    """The architecture, where there are several."""
    scope: Annotated[str | None, Flag(value="SCOPE", otherwise="the only one")] = None
    """The layer scope, where there are several."""
    run: Annotated[str | None, Flag(value="ID", otherwise="the latest")] = None
    """Rest on the cells that this run asked for."""
    output: Annotated[Path, Flag(value="FILE")] = Path("certificate.html")
    """File to write."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the page."""
    command = parse(Command, arguments, prog="python -m orchestrator.certificate", examples=EXAMPLES)
    from orchestrator.report.certificate import certificate  # duckdb: not for --help
    from orchestrator.report.subject import choose
    from orchestrator.report.write import check_folder, write_page
    from orchestrator.results.connection import Results
    from orchestrator.store.runs import check_one

    check_one(command.run)
    check_folder(command.output, flag="--output")
    with Results(command.results, command.run) as results:
        subject = choose(
            results,
            forget_set=command.forget_set,
            method=command.method,
            architecture=command.architecture,
            scope=command.scope,
        )
        page = certificate(results, subject)
    write_page(command.output, page, flag="--output")
    sys.stderr.write(f"certificate in {command.output}\n")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
