"""Somebody's program as a part of a stage: never a shell, ended with the stage or with this process, no file left.

A supervisor (`tasks.runtime.supervisor`) owns the program and its private folder, so that both go however this process
ends. A time limit (`tasks.runtime.time_limit`) is raised where this process waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.errors import AuditError
from tasks.runtime import supervisor
from tasks.runtime.environment import KERNELS, is_launcher
from tasks.runtime.time_limit import unlimited

THREADS = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Variables from which libraries take their number of threads."""
LOOK_SECONDS = 0.25
"""Between two looks at what the program has written."""
TAIL_BYTES, TAIL_LINES, LINE_LENGTH = 8192, 5, 200
"""Of stderr: what is kept of it, and what a message repeats."""
END_SECONDS = 15.0
"""So long the supervisor may take to end a program and remove its folder."""


class ProgramFailed(AuditError):
    """A program ended with an error, or what it was to write is not there or not what it should be."""


class Supervised:
    """A private folder, and the one program that may run in it.

    Args:
        folder: of this program alone.
        process: its supervisor.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process
        self._stderr: deque[int] = deque(maxlen=TAIL_BYTES)

    def run(self, arguments: Sequence[str], *, environment: Mapping[str, str], most_bytes: int) -> float:
        """Run the program to its end; returns its wall seconds.

        Args:
            arguments: the program and its arguments, as they are.
            environment: all of its variables; see `cleaned`.
            most_bytes: that its folder may come to hold.

        Raises:
            ProgramFailed: it could not be started, ended with an error, or wrote too much.
        """
        own = {"TMPDIR": str(self.folder)}
        asked = {"arguments": list(arguments), "environment": {**environment, **own}}
        assert self._process.stdin is not None
        began = time.perf_counter()
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        told = self._wait(most_bytes)
        seconds = time.perf_counter() - began
        if "failed" in told:
            raise ProgramFailed(f"the program could not be started: {told['failed']}")
        if told["code"] != 0:
            raise ProgramFailed(f"the program {_ended(told['code'])}{self.last_lines()}")
        return seconds

    def last_lines(self) -> str:
        """The end of what the program wrote to stderr, with what led up to it, for a message; empty for nothing."""
        lines = bytes(self._stderr).decode("utf-8", "replace").splitlines()
        shown = [printable(line.strip())[:LINE_LENGTH] for line in lines if line.strip()][-TAIL_LINES:]
        return f"; its last words: {' | '.join(shown)}" if shown else "; it wrote nothing to stderr"

    def _wait(self, most_bytes: int) -> dict[str, int | str]:
        """What the supervisor tells."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        answer, out, err = b"", self._process.stdout.fileno(), self._process.stderr.fileno()
        open_ends, next_look = [out, err], 0.0
        while out in open_ends and not answer.endswith(b"\n"):
            for end in select.select(open_ends, [], [], LOOK_SECONDS)[0]:
                found = os.read(end, 65536)
                if not found:
                    open_ends.remove(end)
                elif end == out:
                    answer += found
                else:
                    self._stderr.extend(found)
            if time.monotonic() > next_look:
                _check_room(self.folder, most_bytes)
                next_look = time.monotonic() + LOOK_SECONDS
        while err in open_ends and select.select([err], [], [], 0)[0]:
            found = os.read(err, 65536)
            self._stderr.extend(found)
            if not found:
                break
        if not answer:
            raise ProgramFailed(
                f"the supervisor of the program was ended by somebody else{self.last_lines()}"
            )
        told: dict[str, int | str] = json.loads(answer)
        return told


@contextlib.contextmanager
def supervised() -> Iterator[Supervised]:
    """A folder for the files of a program; at the end, however it comes, the program is ended and all is removed."""
    folder = tempfile.mkdtemp(prefix="lethe-program-")
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(supervisor.__file__).resolve()), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # it hears no Ctrl-C
        )
    except OSError:
        os.rmdir(folder)
        raise
    try:
        yield Supervised(Path(folder), process)
    finally:
        with unlimited():
            _close(process)
            shutil.rmtree(folder, ignore_errors=True)  # where somebody killed the supervisor


def _close(process: subprocess.Popen[bytes]) -> None:
    """Let the supervisor see that nobody waits any more."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)


def cleaned(threads: int) -> dict[str, str]:
    """This process's variables without those that would change numbers, for a program with so many threads.

    What describes a launcher or chooses kernels is left out (`tasks.runtime.environment`); Python's hashes of text are
    those of every run.
    """
    kept = {k: v for k, v in os.environ.items() if k not in KERNELS or k == "CUBLAS_WORKSPACE_CONFIG"}
    kept = {name: value for name, value in kept.items() if not is_launcher(name)}
    return kept | dict.fromkeys(THREADS, str(threads)) | {"PYTHONHASHSEED": "0"}


def printable(text: str) -> str:
    r"""The text with each character that is none to be seen as its number: ESC is `\x1b`."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _ended(code: int | str) -> str:
    return f"was ended by signal {-int(code)}" if int(code) < 0 else f"ended with exit code {code}"


def _check_room(folder: Path, most_bytes: int) -> None:
    written = _bytes_in(folder)
    if written > most_bytes:
        raise ProgramFailed(
            f"the program filled its folder with {written:,} bytes, expected at most {most_bytes:,}"
        )


def _bytes_in(folder: Path) -> int:
    """Bytes on the disk of all files below a folder, as far as they can be seen."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total
