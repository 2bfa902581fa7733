"""One page on one deletion request, to be filed: `python -m orchestrator.certificate RESULTS ...`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Literal

from orchestrator.command_line import Flag, ResultsDirectory, parse
from orchestrator.errors import Exit, run_command
from orchestrator.results.evidence import APART, EQUIVALENT, UNDECIDED
from tasks.errors import AuditError

EXAMPLES = """examples (after python -m orchestrator.sweep, whose preset is quick):
  python -m orchestrator.certificate results --forget-set random \\
      --method scrub --architecture resnet_small --scope all
  python -m orchestrator.certificate results --forget-set random \\
      --method scrub --architecture vit_small --scope all
  python -m orchestrator.certificate results --forget-set half_of_class_3 \\
      --method salun --architecture resnet_small --scope all \\
      --reference 2026-17 --requested 2024-05-17 --output three.html

exit codes, of the page as of json, for a pipeline:
  0  shown equivalent to retraining
  3  told apart from retraining
  4  undecided: nothing is shown yet, as where a primary measure has failed
  2  bad input: nothing is written
"""
EARLIEST_ZONE = timezone(timedelta(hours=14))
"""Where a day begins first."""
OLDEST = date(1970, 1, 1)
"""A request of an earlier date is one that was mistyped."""
EXITS = {EQUIVALENT: Exit.FINISHED, APART: Exit.TOLD_APART, UNDECIDED: Exit.UNDECIDED}


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
    reference: Annotated[str, Flag(value="TEXT", otherwise="left blank")] = ""
    """Number or name of the deletion request in your files."""
    requested: Annotated[str, Flag(value="YYYY-MM-DD", otherwise="left blank")] = ""
    """Date of the deletion request."""
    format: Annotated[
        Literal["page", "json"] | None, Flag(otherwise="by the suffix of --output, else page")
    ] = None
    """A page to be printed and filed, or the same facts for a program."""
    output: Annotated[Path | None, Flag(value="FILE", otherwise="certificate.html; of json stdout")] = None
    """File to write."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, write the page, and return what the verdict is as an exit code."""
    command = parse(Command, arguments, prog="python -m orchestrator.certificate", examples=EXAMPLES)
    from orchestrator.report.certificate import Request, as_json, as_page, certify  # duckdb: not for --help
    from orchestrator.report.subject import choose
    from orchestrator.report.write import check_folder, write_page
    from orchestrator.results.connection import Results
    from orchestrator.results.forms import PAGES, form_of
    from orchestrator.store.runs import check_one

    check_one(command.run)
    request = Request(reference=command.reference, date=_date(command.requested))
    form = form_of(command.output, command.format, {**PAGES, ".json": "json"}, otherwise="page")
    output = command.output or (Path("certificate.html") if form == "page" else None)
    if output is not None:
        check_folder(output, flag="--output")
    with Results(command.results, command.run) as results:
        subject = choose(
            results,
            forget_set=command.forget_set,
            method=command.method,
            architecture=command.architecture,
            scope=command.scope,
        )
        certificate = certify(results, subject, request)
    text = as_page(certificate) if form == "page" else as_json(certificate)
    if output is None:
        sys.stdout.write(text)
    else:
        write_page(output, text, flag="--output")
        sys.stderr.write(f"certificate in {output}\n")
    sys.stderr.write(f"{certificate.verdict}\n")
    return EXITS[certificate.verdict]


def _date(text: str) -> date | None:
    """The date of a request: one that has come, wherever on Earth that is, and not in another century by mistake."""
    try:
        requested = date.fromisoformat(text) if text else None
    except ValueError:
        raise AuditError(f"--requested: expected a date such as 2024-05-17, got '{text}'") from None
    today = datetime.now(EARLIEST_ZONE).date()
    if requested is not None and not OLDEST <= requested <= today:
        raise AuditError(
            f"--requested: expected a date from {OLDEST} to {today}, the day of the request, got '{text}'"
        )
    return requested


if __name__ == "__main__":
    sys.exit(run_command(main))
