"""Ends what is left of a private Ray once its sweep is gone: `python -m orchestrator.backends.on_ray.reaper FOLDER`.

Ray ends by itself some time after its driver was killed: a worker that starts while its raylet dies waits a
minute first. The reaper is a process of its own that waits for the end of the sweep, however it comes. It finds
Ray's processes by a mark in the environment that they were started with, and by the files of the session that they
write to: Ray gives some a title (`ray::RuntimeEnvAgent`), which overwrites what /proc shows of their environment and
command line. So it needs Linux's /proc.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "LETHE_RAY"
"""Environment variable that names the folder of the session to which a process belongs."""
OUTPUT = (".out", ".err")
"""Endings of the files to which Ray sends what its processes print."""
GIVE_UP_SECONDS = 30.0
"""A process that waits for a dead disk or driver cannot be killed, and nobody should wait for it."""
QUIET_SECONDS = 1.0
"""So long none may appear before all count as ended: one may just have been starting another."""


@contextlib.contextmanager
def reaped(folder: Path) -> Iterator[None]:
    """Start the reaper; processes that are started meanwhile by this one get the mark.

    Args:
        folder: scratch files of the session; the reaper removes what is left of it.
    """
    command = [sys.executable, "-m", "orchestrator.backends.on_ray.reaper", str(folder)]
    # It sees the end of its stdin when this process ends; in a session of its own it hears no Ctrl-C.
    watcher = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
        start_new_session=True,
    )
    try:
        yield
    finally:
        end(folder)
        watcher.kill()
        watcher.communicate()


@contextlib.contextmanager
def marked(folder: Path) -> Iterator[None]:
    """Mark the processes that are started meanwhile as members of a session."""
    os.environ[MARK] = folder.name
    try:
        yield
    finally:
        del os.environ[MARK]


def members(folder: Path) -> dict[int, str]:
    """Name of the program by process id, for every living process of a session; empty without /proc."""
    entry, found = f"{MARK}={folder.name}".encode(), {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry in (place / "environ").read_bytes().split(b"\0") or _writes_into(place, folder):
                found[int(place.name)] = (place / "comm").read_text().strip()
    return found


def _writes_into(place: Path, folder: Path) -> bool:
    """Whether the output of a process, or of one that started it, goes to a file of the session, deleted or not.

    Not whether it has any file there open: the driver writes a log of its own, and a reader of logs is no part of Ray.
    """
    session = folder.resolve()
    for handle in (place / "fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(handle).removesuffix(" (deleted)")
            printed = target.endswith(OUTPUT) and Path(target).is_relative_to(session)
            if printed and handle.lstat().st_mode & stat.S_IWUSR:
                return True
    return False


def end(folder: Path) -> None:
    """Kill every process of a session and remove its folder."""
    kill(folder)
    shutil.rmtree(folder, ignore_errors=True)


def kill(folder: Path) -> None:
    """Kill every process of a session, and those that they were just starting; at once where there is none."""
    quiet_since = time.monotonic() if members(folder) else float("-inf")
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() - quiet_since < QUIET_SECONDS and time.monotonic() < deadline:
        for process in members(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            quiet_since = time.monotonic()
        time.sleep(0.1)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end(Path(sys.argv[1]))
