"""Signals while an audit runs: the first lets what runs finish, the second stops at once."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.progress.events import Event, Listener


@contextlib.contextmanager
def interruptible(stop: threading.Event, listener: Listener) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP: the first sets `stop`, the second raises KeyboardInterrupt.

    Where Python drops an exception (a weak reference's callback, `__del__`), the second one is raised again after it.
    The handlers before come back at the end. Python lets only the main thread handle signals: in another one this
    does nothing, and who started that thread sets `stop`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        name = signal.Signals(number).name
        if name == "SIGHUP":
            _leave_terminal(terminals)
        listener(Event(kind="stopping", name=f"{name}: finishing what runs; once more stops at once"))

    terminals = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream and stream.isatty()]
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not under nohup
        signals.append(signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in signals}
    hook = sys.unraisablehook
    sys.unraisablehook = lambda dropped: _again(dropped, hook)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            # None: native code had its own handler, which Python cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _again(dropped: sys.UnraisableHookArgs, hook: Callable[[sys.UnraisableHookArgs], Any]) -> None:
    """Raise an interrupt that Python dropped once more, when what dropped it has returned; pass on all else."""
    if issubclass(dropped.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, _thread.interrupt_main).start()
    else:
        hook(dropped)


def _leave_terminal(terminals: list[int]) -> None:
    """Write to nowhere in place of a terminal that has gone, where every write would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in terminals:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
