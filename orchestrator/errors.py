"""Exit codes of the commands, and where text of whomever, a user's error first of all, becomes a line."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable
from enum import IntEnum

from tasks.errors import AuditError

STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters but tab and line break, marks that turn the direction of writing or that nobody sees between two
letters (a space of no width, a byte order mark), and halves of characters."""

SURROUNDINGS = {
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETXTBSY),
}
"""What is wrong with a named file rather than with Lethe: whoever opened it, the line names it."""


class Exit(IntEnum):
    """What a command returns to the shell."""

    FINISHED = 0
    CELLS_FAILED = 1
    BAD_INPUT = 2
    TOLD_APART = 3
    """Of a certificate, as the next; one that is shown equivalent is FINISHED."""
    UNDECIDED = 4
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    """The reader of stdout went away (`| head`): 128 + SIGPIPE, as the shell reports other programs."""


def run_command(main: Callable[[], int | None]) -> int:
    """Run a command's `main` and return its exit code; bugs keep their traceback.

    An AuditError is printed as one line and gives 2; so does a file that cannot be looked at, opened or written for
    what it is or where it lies, output that cannot be written, as on a full disk, and a current directory that was
    removed. What would go to a stream that the shell has closed is lost. A keyboard interrupt that `main` lets through
    gives 130.
    """
    _open_what_is_closed()
    try:
        os.getcwd()
    except FileNotFoundError:
        _say("error: the current directory is gone; cd to one that is there")
        return Exit.BAD_INPUT
    try:
        code = main()
        sys.stdout.flush()
        return Exit.FINISHED if code is None else code
    except AuditError as error:
        _say(f"error: {one_line(error)}")
        return Exit.BAD_INPUT
    except KeyboardInterrupt:
        _say("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _mute_stdout()
        return Exit.CLOSED_PIPE
    except OSError as error:
        if _of_stdout(error):
            _mute_stdout()
            _say(f"error: stdout: {error.strerror}")
        elif error.errno in SURROUNDINGS and error.filename:
            _say(f"error: {one_line(AuditError(f'{os.fsdecode(error.filename)}: {error.strerror}'))}")
        else:
            raise
        return Exit.BAD_INPUT


def _open_what_is_closed() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives


def _of_stdout(error: OSError) -> bool:
    """Whether what was to be printed still cannot be."""
    try:
        sys.stdout.write("\n")  # what failed before may be gone from its buffer
        sys.stdout.flush()
    except OSError as again:
        return again.errno == error.errno
    return False


def _mute_stdout() -> None:
    """The interpreter flushes stdout once more at exit, which would raise again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # there is nowhere left to say it
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def one_line(error: BaseException) -> str:
    """The message with line breaks and runs of spaces made single spaces, and nothing that steers a terminal."""
    return printable(" ".join(str(error).split()))


def printable(text: str) -> str:
    r"""The text with each character that steers a terminal as its number: ESC is `\x1b`."""
    return STEERING.sub(lambda found: ascii(found[0])[1:-1], text)
