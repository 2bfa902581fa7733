"""A second signal stops a sweep wherever it comes."""

import os
import signal
import sys
import threading
import time
import weakref

import pytest

from orchestrator.audit.interrupt import interruptible


def test_a_second_signal_inside_a_callback_that_drops_exceptions_stops_too(capfd):
    class Held: ...

    stop, held, hook = threading.Event(), Held(), sys.unraisablehook

    def interrupted(_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    callback = weakref.ref(held, interrupted)
    stop.set()
    with pytest.raises(KeyboardInterrupt), interruptible(stop, lambda event: None):  # noqa: PT012
        del held
        time.sleep(5)
    assert callback() is None
    assert sys.unraisablehook is hook
    assert capfd.readouterr().err == ""


def test_other_dropped_exceptions_are_still_told(capfd):
    class Failing:
        def __del__(self) -> None:
            raise ValueError("told")

    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", lambda dropped: seen.append(str(dropped.exc_value)))
        with interruptible(threading.Event(), lambda event: None):
            failing = Failing()
            del failing
    assert seen == ["told"]
