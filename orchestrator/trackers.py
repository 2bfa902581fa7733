"""Copy results into an experiment tracker: `python -m orchestrator.trackers RESULTS --to tensorboard`.

Nothing here runs during a sweep, and nothing reads back: the Arrow files are the results.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

from orchestrator.command_line import Flag, ResultsDirectory, parse
from orchestrator.errors import Exit, run_command
from orchestrator.results.trackers import TRACKERS, TrackerName, copy, records

EXAMPLES = """examples:
  python -m orchestrator.trackers results --to tensorboard --at runs
  python -m orchestrator.trackers results --to mlflow --at sqlite:///mlflow.db
  python -m orchestrator.trackers results --to wandb --project audits
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Copy finished cells into an experiment tracker, a run for each model; running again adds what is new."""

    results: ResultsDirectory = "results"
    """Results directory: what the sweep was given as --out."""
    to: TrackerName
    """The tracker."""
    run: Annotated[str | None, Flag(value="ID", otherwise="the latest")] = None
    """Rest on the cells that this run asked for."""
    at: Annotated[str, Flag(value="PLACE", otherwise="runs, or the tracker's own settings")] = ""
    """A directory (tensorboard) or a tracking URI (mlflow); wandb takes none."""
    project: Annotated[str, Flag(value="NAME")] = "lethe"
    """Experiment (mlflow) or project (wandb)."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and copy."""
    command = parse(Command, arguments, prog="python -m orchestrator.trackers", examples=EXAMPLES)
    from orchestrator.results.connection import Results  # duckdb and pyarrow: not for --help
    from orchestrator.store.modes import made_private
    from orchestrator.store.runs import check_one

    check_one(command.run)
    with Results(command.results, command.run) as results:
        found = list(records(results))
    with made_private():
        logged = copy(found, TRACKERS[command.to](command.at, command.project))
    sys.stderr.write(f"{logged} models logged to {command.to}, {len(found) - logged} were there already\n")
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
