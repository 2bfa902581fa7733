"""Runs one program in a process group of its own, and ends all that it started when it or its owner is gone.

    python tasks/runtime/supervisor.py FOLDER

It is a process of its own because one that is killed can end nothing: the owner holds the other end of stdin, which
closes however the owner ends. From stdin comes one line of JSON (`arguments`, `environment`), to stdout goes one
(`code`, negative for a signal; or `failed`, why the program could not be started). Then it waits for the end of stdin
and removes the folder. It imports nothing of Lethe, so that it starts in a moment.

On Linux orphans below it become its children (PR_SET_CHILD_SUBREAPER, prctl(2)), so that it finds and ends those too
that left the program's group, by setsid or as daemons. Elsewhere only the group is ended.
"""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

REMOVE_SECONDS = 5.0
END_SECONDS = 5.0
CHILD_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of <linux/prctl.h>."""
LEFT_TO_THE_OWNER = (signal.SIGTERM, signal.SIGHUP)


def supervise(folder: str) -> None:
    """Run the program that stdin names, in a folder, which is removed at the end.

    Signals that ask every process of a job to end are left to the owner, whose end is seen.
    """
    for number in LEFT_TO_THE_OWNER:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(CHILD_SUBREAPER, 1, 0, 0, 0)
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
    code = _wait_for(program.pid)
    _end_group(program.pid)
    _end_children()
    return {"code": code}


def _wait_for(program: int) -> int:
    """Exit code of the program; of orphans that end before it nobody else would take notice."""
    while True:
        found, status = os.waitpid(-1, 0)
        if found == program:
            return os.waitstatus_to_exitcode(status)


def _end_children() -> None:
    """End what the program left behind outside its group, and what that started: each generation becomes ours."""
    end = time.monotonic() + END_SECONDS
    while time.monotonic() < end:
        for child in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # there is none left
            return
        time.sleep(0.005)


def _children() -> list[int]:
    """Processes whose parent this is, as /proc tells."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{int(name)}/stat", "rb") as file:
                parent = file.read().rpartition(b")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(name))
    return found


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
