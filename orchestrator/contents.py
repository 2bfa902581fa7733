"""Content hashes of examples and of image files: `python -m orchestrator.contents [CONFIGURATION]`.

What it prints is a list that a forget set of kind `file` reads. Torch is not imported.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from orchestrator.command_line import Flag, parse
from orchestrator.config.plugins import load_plugins
from orchestrator.config.settings import load
from orchestrator.errors import Exit, run_command
from orchestrator.plan.contents import COLUMNS, example_rows, file_rows
from tasks.errors import AuditError

EXAMPLES = """examples:
  python -m orchestrator.contents --ids 3 17
  python -m orchestrator.contents audit.toml --images photo.png
  python -m orchestrator.contents audit.toml

What it prints, written to request.csv, is a forget set of the next audit:
kind = "file", path = "request.csv", column = "content_sha256"
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Print the content hash of examples of a data set, or of image files, as CSV on stdout."""

    source: Annotated[str, Flag(value="CONFIGURATION", positional=True)] = "quick"
    """TOML file whose data set is meant, or a preset."""
    ids: Annotated[tuple[int, ...] | None, Flag(value="N", otherwise="all")] = None
    """Examples to print."""
    images: Annotated[tuple[Path, ...] | None, Flag(value="FILE", otherwise="none")] = None
    """Image files, or .npy arrays of one example, to look up in place of examples; one row for each copy."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, read the data set, and print one row for each example."""
    command = parse(Command, arguments, prog="python -m orchestrator.contents", examples=EXAMPLES)
    if command.ids is not None and command.images is not None:
        raise AuditError("--ids, --images: expected one of the two, got both")
    config = load(command.source, {})
    load_plugins(config.plugins, named_by=command.source)
    asked = example_rows(config, command.ids) if command.images is None else file_rows(config, command.images)
    rows = list(asked)  # read before the heading: an error leaves stdout empty
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
