"""Audit models that were trained elsewhere by what they answered: `python -m orchestrator.outputs FILE...`.

A file in TOML says whose logits, margins or log-likelihoods are where; the folder of an EasyDUB data set is taken as it
is. The results are the tables that a sweep writes: `query`, `report` and `certificate` read them. Nothing is trained.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import dataclass
from typing import Annotated

from orchestrator.audit.interrupt import interruptible
from orchestrator.audit.outcome import Outcome
from orchestrator.command_line import Flag, parse
from orchestrator.errors import Exit, printable, run_command
from orchestrator.outputs.description import read_request
from orchestrator.outputs.run import audit, prepared
from orchestrator.progress import display as displays
from orchestrator.results.leaderboard import print_leaderboard
from orchestrator.store.store import Store

EXAMPLES = """examples:
  python -m orchestrator.outputs outputs.toml --out results
  python -m orchestrator.outputs outputs.toml --dry-run
  python -m orchestrator.outputs data/EasyDUB-dataset --out results
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Audit models that were trained elsewhere by what they answered. Running again resumes."""

    files: Annotated[tuple[str, ...], Flag(value="FILE", positional=True)]
    """TOML files, or folders of EasyDUB data sets."""
    out: Annotated[str, Flag(value="RESULTS")] = "results"
    """Results directory: a path or URI."""
    dry_run: bool = False
    """Read and check every file, say what would be measured, and measure nothing."""
    display: Annotated[displays.DisplayName, Flag()] = "auto"
    """How progress is shown, on stderr."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, check every file, then measure."""
    command = parse(Command, arguments, prog="python -m orchestrator.outputs", examples=EXAMPLES)
    requests = [read_request(file) for file in command.files]
    with contextlib.ExitStack() as opened:
        plans = [opened.enter_context(prepared(request)) for request in requests]
        if command.dry_run:
            for file, made in zip(command.files, plans, strict=True):
                attacks = ", ".join(dict.fromkeys(cell.attack for cell in made.plan.cells))
                _say(f"{file}: {len(made.plan.cells)} cells: {attacks}", *made.plan.notes)
            return Exit.FINISHED
        store, stop = Store(command.out), threading.Event()
        store.check_ready()
        outcomes = []
        with displays.display(command.display) as listener, interruptible(stop, listener):
            outcomes += [
                audit(made, store, listener=listener, stop=stop) for made in plans if not stop.is_set()
            ]
    for outcome in outcomes:
        _conclude(outcome, command.out)
    if any(outcome.stopped for outcome in outcomes):
        return Exit.INTERRUPTED
    return Exit.FINISHED if all(outcome.finished for outcome in outcomes) else Exit.CELLS_FAILED


def _conclude(outcome: Outcome, out: str) -> None:
    print_leaderboard(out, outcome.run, as_json=False)
    done, failed = len(outcome.cells), len(outcome.failed)
    lines = [
        f"{done - failed} of {len(outcome.plan.cells)} cells finished, {failed} failed, {outcome.seconds:.0f} s",
        f"results in {out}: python -m orchestrator.query leaderboard --results {out}",
    ]
    if failed:
        lines.append(f"failures: python -m orchestrator.query failures --results {out}")
    for line in lines:
        print(printable(line), file=sys.stderr)  # noqa: T201


def _say(*lines: str) -> None:
    print("\n".join(map(printable, lines)))  # noqa: T201


if __name__ == "__main__":
    sys.exit(run_command(main))
