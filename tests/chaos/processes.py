"""Every process of one run, found by a mark in its environment and named by what it does for Ray."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "LETHE_CHAOS_RUN"
TITLES = {
    "ModelHost": "host",
    "CellTrial": "trial",
    "ResourceTrainable": "trial",
    "Dispatcher": "dispatcher",
    "run_shadows": "shadow",
    "raylet": "raylet",
    "gcs_server": "gcs",
}


@dataclass(frozen=True)
class Process:
    """A living process of a run."""

    pid: int
    kind: str
    """driver, host, trial, dispatcher, shadow, raylet, gcs, or other."""
    title: str = ""


def of_run(mark: str) -> list[Process]:
    """Processes whose environment carries the mark; zombies have none and are not listed."""
    return list(_found(f"{MARK}={mark}".encode()))


def _found(entry: bytes) -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield Process(int(folder.name), _kind(title), title[:160])


def _kind(title: str) -> str:
    words = title.split()
    program = words[0] if words else ""
    if program.startswith("ray::"):
        name = program.removeprefix("ray::").partition(".")[0].partition("(")[0]
        return TITLES.get(name, "other")
    if "orchestrator.sweep" in words:
        return "driver"
    return TITLES.get(Path(program).name, "other")


def kill(processes: list[Process], number: int = signal.SIGKILL) -> None:
    """Send each the signal; one that has just ended is no error."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
