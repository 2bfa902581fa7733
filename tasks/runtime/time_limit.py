"""A time limit for a stage of work in this process, which code that hangs cannot ignore.

Three things end a stage that takes too long, each where the one before cannot: a signal raises `TimeLimit` in the
main thread, again and again; `GRACE_SECONDS` later, when that thread has been in native code all along, a second
thread tells the caller and ends the process; after as long again, when native code holds the interpreter, a
thread without Python ends the process and shows where it hung.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

GRACE_SECONDS = 20.0
REPEAT_SECONDS = 1.0
"""Between two exceptions: code that swallows the first meets the next."""
STDERR = 2
"""The descriptor: what stands for `sys.stderr` may have none."""


class TimeLimit(Exception):
    """A stage of work took longer than it may."""


@contextlib.contextmanager
def time_limit(seconds: float, *, hung: Callable[[TimeLimit], None]) -> Iterator[None]:
    """Raise `TimeLimit` in the code below that takes longer; a stage within it stops its clock meanwhile.

    Args:
        seconds: of this stage alone.
        hung: called from another thread when the exception cannot be raised; the process ends afterwards.
    """
    stage = _Stage(seconds, hung)
    if _STAGES:
        _STAGES[-1].pause()
    _STAGES.append(stage)
    try:
        stage.start()
        yield
    finally:
        stage.pause()
        _STAGES.pop()
        if _STAGES:
            _STAGES[-1].start()


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Stop the clock of the stage that runs, if any: what happens below is whole or not at all."""
    stage = _STAGES[-1] if _STAGES and _can_signal() else None
    if stage:
        stage.pause()
    try:
        yield
    finally:
        if stage:
            stage.start()


class _Stage:
    def __init__(self, seconds: float, hung: Callable[[TimeLimit], None]) -> None:
        self._seconds = self._left = seconds
        self._hung = hung
        self._running = False
        self._began = 0.0
        self._watch = threading.Timer(0.0, self._give_up)

    def start(self) -> None:
        """Let the clock run."""
        self._began, self._running, self._show = time.monotonic(), True, sys.unraisablehook
        self._watch = threading.Timer(self._left + GRACE_SECONDS, self._give_up)
        self._watch.daemon = True
        self._watch.start()
        faulthandler.dump_traceback_later(self._left + 2 * GRACE_SECONDS, exit=True, file=STDERR)
        if _can_signal():
            self._before = signal.signal(signal.SIGALRM, self._raise)
            self._others = signal.setitimer(signal.ITIMER_REAL, self._left, REPEAT_SECONDS)

    def pause(self) -> None:
        """Stop the clock; what was waiting for the same signal waits again."""
        self._running = False
        sys.unraisablehook = self._show
        self._left = max(self._left - (time.monotonic() - self._began), 0.001)
        if _can_signal():
            signal.setitimer(signal.ITIMER_REAL, *self._others)
            signal.signal(signal.SIGALRM, self._before)
        faulthandler.cancel_dump_traceback_later()
        self._watch.cancel()

    def _error(self) -> TimeLimit:
        return TimeLimit(f"time limit: the stage took longer than {self._seconds:g} s")

    def _raise(self, number: int, frame: Any) -> None:
        if self._running:
            sys.unraisablehook = self._shown
            raise self._error()

    def _shown(self, lost: Any) -> None:
        """A finaliser has lost the exception: the next one follows, so nobody needs to see it."""
        if not isinstance(lost.exc_value, TimeLimit):
            self._show(lost)

    def _give_up(self) -> None:
        try:
            if self._running:
                self._hung(self._error())
        finally:
            if self._running:
                os._exit(2)


_STAGES: list[_Stage] = []


def _can_signal() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
