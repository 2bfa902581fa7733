"""Displays of a running sweep: a live panel on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from orchestrator.events import Event, Listener

DisplayName = Literal["auto", "rich", "plain", "json", "none"]

PLAIN_PERIOD = 5.0
"""Seconds between two plain lines of one phase."""


@contextmanager
def display(name: DisplayName) -> Iterator[Listener]:
    """A listener that shows events on stderr; `auto` takes rich on a terminal and plain elsewhere."""
    if name == "auto":
        name = "rich" if sys.stderr.isatty() else "plain"
    if name == "none":
        yield lambda event: None
    elif name == "json":
        yield lambda event: print(json.dumps(dataclasses.asdict(event)), file=sys.stderr, flush=True)  # noqa: T201
    elif name == "plain":
        yield _Plain()
    else:
        with _RichDisplay() as shown:
            yield shown


class _Plain:
    """One line when a phase begins, every few seconds, for each failure, and at the end of the phase."""

    def __init__(self) -> None:
        self._phase = Event(kind="phase", name="")
        self._done = self._failed = 0
        self._began = self._last = time.monotonic()

    def __call__(self, event: Event) -> None:
        if event.kind == "phase":
            self._phase, self._done, self._failed = event, 0, 0
            self._began = self._last = time.monotonic()
            _say(f"{event.name}: {event.total} to do")
            return
        if event.kind == "note":
            _say(event.name)
            return
        self._done += 1
        if event.status == "failed":
            self._failed += 1
            _say(f"failed: {event.name}: {event.error}")
        now = time.monotonic()
        if now - self._last >= PLAIN_PERIOD or self._done == self._phase.total:
            self._last = now
            remaining = (now - self._began) / self._done * (self._phase.total - self._done)
            failed = f", {self._failed} failed" if self._failed else ""
            _say(
                f"{self._phase.name}: {self._done}/{self._phase.total}{failed}, "
                f"{now - self._began:.0f} s, about {remaining:.0f} s left"
            )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


class _RichDisplay:
    """A bar for each phase with the time left, and a line above it for every failure."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[last]}", style="dim"),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._failed = 0

    def __enter__(self) -> _RichDisplay:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if event.kind == "phase":
            self._task = self._progress.add_task(event.name, total=event.total, last="")
            return
        if event.kind == "note":
            self._progress.console.print(event.name, highlight=False)
            return
        if event.status == "failed":
            self._failed += 1
            self._progress.console.print(f"failed: {event.name}: {event.error}", style="red", highlight=False)
        if self._task is not None:
            self._progress.update(self._task, advance=1, last=event.name)
