"""Every process of one run, found by a mark in its environment or by its session, and named by what it does for Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
MARK = "LETHE_CHAOS_RUN"
TITLES = {
    "ModelHost": "host",
    "CellTrial": "trial",
    "ResourceTrainable": "trial",
    "Dispatcher": "dispatcher",
    "run_shadows": "shadow",
    "DashboardAgent": "agent",
    "RuntimeEnvAgent": "agent",
    "raylet": "raylet",
    "gcs_server": "gcs",
}


LISTENS = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same in IPv6, and ::1, as /proc/net writes them on a little-endian machine."""
SESSIONS: dict[str, int] = {}
"""The session of each run that this process has started: Ray overwrites the environment of some of its processes."""


@dataclass(frozen=True)
class Process:
    """A living process of a run."""

    pid: int
    kind: str
    """driver, host, trial, dispatcher, shadow, agent, raylet, gcs, or other."""
    title: str = ""


def start(words: Sequence[str | Path], mark: str, *, stderr: int | IO[str]) -> subprocess.Popen[str]:
    """A command in a session of its own; every process that comes of it carries the mark."""
    started = subprocess.Popen(
        words,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        env={**os.environ, MARK: mark, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    SESSIONS[mark] = started.pid
    return started


def left_after(mark: str, seconds: float) -> list[Process]:
    """Processes of a run that are still there after so long; returns at once where there is none."""
    deadline = time.monotonic() + seconds
    while (found := of_run(mark)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def of_run(mark: str) -> list[Process]:
    """Living processes whose environment carries the mark, or whose session is that of its run; no zombies."""
    return list(_found(f"{MARK}={mark}".encode(), SESSIONS.get(mark)))


def _found(entry: bytes, session: int | None) -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            state, _, _, its_session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            marked = entry in (folder / "environ").read_bytes().split(b"\0")
            if state != "Z" and (marked or int(its_session) == session):
                title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield Process(int(folder.name), _kind(title), title[:160])


def listening(processes: Sequence[Process]) -> set[tuple[str, str]]:
    """Kind of the process and address, in the hexadecimal of /proc/net, of every TCP socket that they listen on."""
    addresses = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == LISTENS:
                addresses[f"socket:[{inode}]"] = local.partition(":")[0]
    found = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{process.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(handle)
                    if target in addresses:
                        found.add((process.kind, addresses[target]))
    return found


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
