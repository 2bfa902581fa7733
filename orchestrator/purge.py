"""Delete from results what traces the forgotten examples; metrics stay: `python -m orchestrator.purge RESULTS`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.command_line import ResultsDirectory, parse
from orchestrator.errors import Exit, printable, run_command

NAMED = 5
"""Files that a line names."""
EXAMPLES = """examples:
  python -m orchestrator.purge results         what would be deleted
  python -m orchestrator.purge results --yes   delete it
  python -m orchestrator.purge results --ids --yes
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Delete weights, rows of single examples, and reports from results, for ever; metrics stay. Without --yes
    nothing is deleted. No sweep may be writing there."""

    results: ResultsDirectory = "results"
    """Results directory: what the sweep was given as --out."""
    ids: bool = False
    """Delete the ids of forgotten examples and of canaries too."""
    yes: bool = False
    """Delete what is listed."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, list, and delete where that is confirmed."""
    command = parse(Command, arguments, prog="python -m orchestrator.purge", examples=EXAMPLES)
    from orchestrator.store.purges import unfinished  # pyarrow: not for --help
    from orchestrator.store.store import existing
    from orchestrator.store.traces import WORDS, delete_traces, find_traces, strangers
    from orchestrator.store.verify import nested

    store = existing(command.results)
    stores = [store, *nested(store)]
    found = [(store, find_traces(store, ids=command.ids)) for store in stores]
    others = strangers(*found[0])
    found = [(store, traces) for store, traces in found if traces or unfinished(store)]
    for store, traces in found:
        for t in traces:
            place = store.files.describe()
            sys.stdout.write(f"{place}: {WORDS[t.what]}: {len(t.files)} files, {t.size / 1e6:.1f} MB\n")
    if not found:
        sys.stderr.write("nothing is left to purge\n")
    elif not command.yes:
        sys.stderr.write("nothing is deleted yet: add --yes; it cannot be undone\n")
    else:
        for store, traces in found:
            delete_traces(store, traces, now=datetime.now(UTC))
        sys.stderr.write(
            "deleted, and recorded in the table purges; not looked for: files elsewhere (certificates, answers, "
            "exports, score files), copies, backups and snapshots of the disk\n"
        )
    sys.stderr.write(_left(others))
    return Exit.FINISHED


def _left(others: list[str]) -> str:
    """A line on files that nobody can judge but the user; empty where there are none."""
    if not others:
        return ""
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    return (
        printable(f"not ours, and left in the directory: {', '.join(others[:NAMED])}{more}; look into them")
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
