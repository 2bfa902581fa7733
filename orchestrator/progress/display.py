"""Displays of a running sweep: a live panel on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.errors import printable
from orchestrator.progress.duration import duration
from orchestrator.progress.events import Event, Listener, Memory
from orchestrator.progress.tally import StageTally, Tally

DisplayName = Literal["auto", "rich", "plain", "json", "none"]

PLAIN_PERIOD = 5.0
"""Seconds between two plain lines of one stage."""
HINT = "Ctrl-C finishes what runs, twice stops at once; the same command resumes"
FRAMES_PER_SECOND = 4
NARROW = 100
"""Columns below which the bar gives way to the numbers."""


@contextmanager
def display(name: DisplayName) -> Iterator[Listener]:
    """A listener that shows events on stderr; `auto` takes rich on a terminal and plain elsewhere."""
    if name == "auto":
        name = "rich" if sys.stderr.isatty() else "plain"
    if name == "none":
        yield lambda event: None
    elif name == "json":
        yield _Json(Tally())
    elif name == "plain":
        plain = _Plain(Tally())
        with _beating(plain):
            yield plain
    else:
        with _RichDisplay(Tally(), Console(stderr=True)) as shown:
            yield shown


@contextmanager
def _beating(plain: _Plain) -> Iterator[None]:
    """Let it speak while nothing ends, as where shadow models train together for minutes."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(1.0):
            plain.beat()

    thread = threading.Thread(target=beat, daemon=True, name="lethe-display")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Json:
    """A line for every event, with the counts and the time left after it."""

    def __init__(self, tally: Tally, say: Callable[[str], None] | None = None) -> None:
        self._tally = tally
        self._say = say or _say

    def __call__(self, event: Event) -> None:
        self._tally(event)
        self._say(json.dumps(dataclasses.asdict(event) | _state(self._tally)))


def _state(tally: Tally) -> dict[str, Any]:
    stage = tally.current
    counts = {s.name: {"total": s.total, "done": s.done, "failed": s.failed} for s in tally.stages.values()}
    return {
        "stage": stage.name if stage else None,
        "progress": counts,
        "stage_seconds_left": tally.stage_left(stage) if stage else None,
        "seconds_left": tally.seconds_left() if tally.stages else None,
    }


class _Plain:
    """One line when a stage begins, every few seconds, for each failure, and at the end of the stage.

    Events come from one thread, beats from another.
    """

    def __init__(self, tally: Tally, say: Callable[[str], None] | None = None) -> None:
        self._tally = tally
        self._say = say or _say
        self._spoke = 0.0
        self._turn = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._turn:
            self._tell(event)

    def beat(self) -> None:
        """Say how far it is where nothing was said for a while: 5 s, and as a stage lasts a twentieth of its time."""
        with self._turn:
            stage = self._tally.current
            if stage is None or stage.done >= stage.total:
                return
            elapsed = self._tally.elapsed(stage)
            if elapsed - self._spoke >= max(PLAIN_PERIOD, elapsed / 20):
                self._count(stage)

    def _tell(self, event: Event) -> None:
        self._tally(event)
        stage = self._tally.current
        if event.kind == "stages":
            self._say(HINT)
        elif event.kind in ("note", "stopping"):
            self._say(event.name)
        elif event.kind == "phase" and stage is not None:
            self._spoke = 0.0
            if stage.total:
                self._say(f"{stage.name}: {stage.total} to do{_left(self._tally, stage)}")
        elif stage is not None:
            if event.status == "failed":
                self._say(f"failed: {event.name}: {event.error}")
            self._count(stage)

    def _count(self, stage: StageTally) -> None:
        elapsed = self._tally.elapsed(stage)
        if elapsed - self._spoke < PLAIN_PERIOD and stage.done < stage.total:
            return
        self._spoke = elapsed
        failed = f", {stage.failed} failed" if stage.failed else ""
        running = f" after {duration(elapsed)}{_left(self._tally, stage)}"
        left = running if stage.done < stage.total else f" in {duration(elapsed)}"
        memory = "".join(f"; memory {line}" for line in memory_lines(self._tally))
        self._say(f"{stage.name}: {stage.done}/{stage.total}{failed}{_parts(stage)}{left}{memory}")


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)  # noqa: T201


def _parts(stage: StageTally) -> str:
    """How many trainings and unlearnings of shadow models have ended; nothing of other stages."""
    return f" ({stage.parts_done} of {stage.parts} runs)" if stage.parts else ""


def _left(tally: Tally, stage: StageTally) -> str:
    """The time left in words, with what follows; nothing before anything tells."""
    if tally.stopping:
        return ""
    own, whole = tally.stage_left(stage), tally.seconds_left()
    if own is None:
        return ""
    waiting = tally.waiting()
    if not waiting:
        return f", about {duration(own)} left"
    after = " and ".join(f"{s.total} {s.name}" for s in waiting)
    rest = "" if whole is None else f", about {duration(whole)} left in all"
    return f", about {duration(own)} left, then {after}{rest}"


def memory_lines(tally: Tally) -> list[str]:
    """A line for each device that has told of its memory: what the processes on it hold together."""
    devices: defaultdict[tuple[str, str], list[Memory]] = defaultdict(list)
    for memory in tally.memory.values():
        devices[memory.machine, memory.device].append(memory)
    machines = {machine for machine, _ in devices}
    lines = []
    for (machine, device), held in sorted(devices.items()):
        where = f"{machine} {device}" if len(machines) > 1 else device
        hosts = "1 process" if len(held) == 1 else f"{len(held)} processes"
        used, total = sum(m.used for m in held), max(m.total for m in held)
        lines.append(f"{where}: {gib(used)} of {gib(total)} GiB in {hosts}")
    return lines


def gib(size: float) -> str:
    """Bytes in GiB, three digits."""
    return f"{size / 2**30:.3g}"


class _RichDisplay:
    """A live panel: a bar for each stage, the time left, memory, and how to stop; failures stay above it."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._tally = tally
        self._console = console
        self._spinner = Spinner("dots")
        self._over = False
        self._live = Live(
            console=console, get_renderable=self.panel, refresh_per_second=FRAMES_PER_SECOND, transient=False
        )

    def __enter__(self) -> _RichDisplay:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over = True
        self._live.stop()

    def __call__(self, event: Event) -> None:
        self._tally(event)
        if event.kind == "note":
            self._console.print(printable(event.name), highlight=False, markup=False)
        elif event.kind == "stopping":
            self._console.print(printable(event.name), style="yellow", highlight=False, markup=False)
        elif event.status == "failed":
            line = f"failed: {event.name}: {event.error}"
            self._console.print(printable(line), style="red", highlight=False, markup=False)

    def panel(self) -> RenderableType:
        """The panel as it is now; at the end only what was done."""
        stages = [stage for stage in self._tally.stages.values() if stage.total]
        parts: list[RenderableType] = [self._table(stages)] if stages else []
        if not self._over and stages:
            parts += [
                Text(printable(line), style="dim", no_wrap=True, overflow="ellipsis")
                for line in self._footer()
            ]
        return Group(*parts)

    def _table(self, stages: list[StageTally]) -> Table:
        table = Table.grid(padding=(0, 1))
        width = 16 if self._console.width < NARROW else 30
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(width=width)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for stage in stages:
            failed = f", [red]{stage.failed} failed[/red]" if stage.failed else ""
            table.add_row(
                self._sign(stage),
                f"[bold]{stage.name}" if stage is self._tally.current else stage.name,
                ProgressBar(total=stage.total, completed=stage.done, width=width),
                f"{stage.done}/{stage.total}{failed}{_parts(stage)}",
                "" if stage.began is None else duration(self._tally.elapsed(stage)),
                self._outlook(stage),
            )
        return table

    def _sign(self, stage: StageTally) -> RenderableType:
        if stage.done == stage.total:
            return Text("!" if stage.failed else "✓", style="red" if stage.failed else "green")
        return self._spinner if stage is self._tally.current and not self._over else Text("·", style="dim")

    def _outlook(self, stage: StageTally) -> str:
        if stage.done == stage.total:
            return ""
        if self._over:
            return "stopped"
        if self._tally.stopping:
            return "finishing what runs" if stage is self._tally.current else ""
        left = self._tally.stage_left(stage)
        if left is not None:
            return f"about {duration(left)} left" if stage.began is not None else f"about {duration(left)}"
        return "time unknown yet"

    def _footer(self) -> Iterator[str]:
        if self._tally.current is None:
            yield "  starting the workers"
        if self._tally.last:
            yield f"  last    {self._tally.last}"
        for line in memory_lines(self._tally):
            yield f"  memory  {line}"
        yield "  " + (
            "Ctrl-C again stops at once; the same command resumes" if self._tally.stopping else HINT
        )
