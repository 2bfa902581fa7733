"""A report that follows a running sweep: written anew while cells come in, and read again by the browser itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.errors import Exit, printable
from orchestrator.progress.status import Status, look
from orchestrator.store.store import existing
from orchestrator.store.whole_file import write_whole

Make = Callable[[int | None], str]
"""Makes the page of what there is now; with seconds, after which a browser reads it again."""


def watch(make: Make, root: str, run: str | None, *, output: Path, every: int) -> int:
    """Write the page whenever more is there, until every cell of the run is done or the user interrupts.

    The page that is left does not refresh itself. Readers see a whole page at any time.

    Args:
        make: makes the page.
        root: of the results.
        run: id of the run that is watched; None: the latest.
        output: file to write.
        every: seconds between two looks.

    Returns:
        The exit code: that of a finished sweep, or of an interrupt.

    Raises:
        AuditError: there are no such results or run, they went away, or the file cannot be written.
    """
    store, shown, seen = existing(root), "", False
    try:
        while True:
            status = look(store, run, now=datetime.now(UTC), seen=seen)
            seen = seen or status.run_id is not None
            over = status.left == 0
            if over or _told(status) != shown:
                replace_page(output, make(None if over else every))
                shown = _told(status)
                _say(f"{output}: {shown}")
            if over:
                return Exit.CELLS_FAILED if status.failed else Exit.FINISHED
            time.sleep(every)
    except KeyboardInterrupt:
        replace_page(output, make(None))
        _say(f"no longer watched: report in {output} ({shown or 'nothing was there yet'})")
        return Exit.INTERRUPTED


def _told(status: Status) -> str:
    """How far the sweep is, in words that change whenever more is there."""
    if status.run_id is None:
        return "no run is recorded yet"
    failed = f", {status.failed} failed" if status.failed else ""
    made = sum(counts.done for counts in status.models.values())
    state = "" if status.state == "running" else f" ({status.state})"
    return f"{status.finished + status.failed} of {status.planned} cells{failed}, {made} models{state}"


def replace_page(path: Path, text: str) -> None:
    """Put a page in the place of another at once, with the other's mode; of a link in the place that it leads to.

    Raises:
        AuditError: it cannot be written.
    """
    write_whole(path.resolve(), text.encode(), flag="--output")


def _say(line: str) -> None:
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()
