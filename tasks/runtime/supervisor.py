"""Runs one program in a process group of its own, and ends the group when the program or its owner is gone.

    python tasks/runtime/supervisor.py FOLDER

It is a process of its own because one that is killed can end nothing: the owner holds the other end of stdin, which
closes however the owner ends. From stdin comes one line of JSON (`arguments`, `environment`), to stdout goes one
(`code`, negative for a signal; or `failed`, why the program could not be started). Then it waits for the end of stdin
and removes the folder. It imports nothing of Lethe, so that it starts in a moment.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

REMOVE_SECONDS = 5.0
LEFT_TO_THE_OWNER = (signal.SIGTERM, signal.SIGHUP)


def supervise(folder: str) -> None:
    """Run the program that stdin names, in a folder, which is removed at the end.

    Signals that ask every process of a job to end are left to the owner, whose end is seen.
    """
    for number in LEFT_TO_THE_OWNER:
        signal.signal(number, signal.SIG_IGN)
    try:
        line = sys.stdin.buffer.readline()
        if line.endswith(b"\n"):  # else the owner ended before it had asked for anything
            _tell(_run(json.loads(line), folder))
            _owner_is_gone()
    finally:
        _remove(folder)


def _run(asked: dict[str, object], folder: str) -> dict[str, object]:
    try:
        program = subprocess.Popen(
            asked["arguments"],  # type: ignore[call-overload]
            env=asked["environment"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_hear_all,  # no thread runs yet
        )
    except (OSError, ValueError) as error:
        return {"failed": str(error)}
    threading.Thread(target=_end_with_owner, args=(program.pid,), daemon=True).start()
    code = program.wait()
    _end_group(program.pid)
    return {"code": code}


def _hear_all() -> None:
    """What is ignored would be ignored by the program too."""
    for number in LEFT_TO_THE_OWNER:
        signal.signal(number, signal.SIG_DFL)


def _end_with_owner(group: int) -> None:
    _owner_is_gone()
    _end_group(group)


def _owner_is_gone() -> None:
    """Return when the other end of stdin is closed."""
    while os.read(0, 4096):
        pass


def _end_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _remove(folder: str) -> None:
    """Again where a process of the group was still writing as it died."""
    end = time.monotonic() + REMOVE_SECONDS
    while os.path.isdir(folder) and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(result: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # an owner that is gone needs no answer
        os.write(1, json.dumps(result).encode() + b"\n")


if __name__ == "__main__":
    supervise(sys.argv[1])
