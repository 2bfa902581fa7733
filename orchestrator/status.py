"""Watch a sweep from a second terminal, or see how far a finished or killed one came; reads files only."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

from orchestrator.command_line import Flag, ResultsDirectory, parse
from orchestrator.errors import Exit, printable, run_command
from orchestrator.progress.status import as_json, lines, look
from orchestrator.store.files import MARKER
from orchestrator.store.store import existing

EXAMPLES = """examples:
  python -m orchestrator.status                     how far the sweep is
  python -m orchestrator.status results --watch 5   again every five seconds
  python -m orchestrator.status results --format json
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Show how far a sweep is: running, finished or killed."""

    results: ResultsDirectory = "results"
    """Results directory: what the sweep was given as --out."""
    run: Annotated[str | None, Flag(value="ID", otherwise="the latest")] = None
    """Look at this run; results on disk may be of several."""
    watch: Annotated[float, Flag(value="SECONDS", otherwise="show once", smallest=0, largest=86400)] = 0.0
    """Show again every that many seconds, until every cell is done."""
    format: Literal["table", "json"] = "table"
    """Form of the answer on stdout."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and show; 0 when nothing failed, 1 when a cell failed."""
    command = parse(Command, arguments, prog="python -m orchestrator.status", examples=EXAMPLES)
    store, seen = existing(command.results), False
    while True:
        status = look(store, command.run, now=datetime.now(UTC), seen=seen)
        seen = store.files.exists(MARKER)
        shown = [json.dumps(as_json(status))] if command.format == "json" else lines(status)
        text = "\n".join(map(printable, shown))
        if command.watch and command.format == "table" and sys.stdout.isatty():
            text = f"\x1b[H\x1b[2J{text}"
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        if not command.watch or status.left == 0:
            return Exit.CELLS_FAILED if status.failed else Exit.FINISHED
        time.sleep(command.watch)


if __name__ == "__main__":
    sys.exit(run_command(main))
