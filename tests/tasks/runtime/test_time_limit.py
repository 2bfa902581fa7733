"""Stages that take too long end, whatever they do."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.runtime.time_limit import TimeLimit, time_limit

ROOT = Path(__file__).parents[3]
HANGS_IN_NATIVE_CODE = """
import ctypes, os, sys
from tasks.runtime import time_limit
time_limit.GRACE_SECONDS = 1.0
libc = ctypes.{loader}(None)
mutex = ctypes.create_string_buffer(64)
with time_limit.time_limit(0.5, hung=lambda error: os.write(1, str(error).encode())):
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)  # no signal ends this
"""


def unexpected(error: TimeLimit) -> None:
    raise AssertionError(error)


def test_sleeping_code_is_interrupted() -> None:
    began = time.monotonic()
    told = r"time limit: the stage took longer than 0\.2 s"
    with pytest.raises(TimeLimit, match=told), time_limit(0.2, hung=unexpected):
        time.sleep(60)
    assert time.monotonic() - began < 10


def test_code_that_swallows_the_exception_meets_the_next() -> None:
    caught = []

    def swallow_two() -> None:
        while True:
            try:
                time.sleep(60)
            except TimeLimit as error:
                caught.append(error)
                if len(caught) == 2:
                    time.sleep(60)

    with pytest.raises(TimeLimit), time_limit(0.1, hung=unexpected):
        swallow_two()
    assert len(caught) == 2


def test_an_exception_that_a_finaliser_loses_is_followed_by_another(capfd) -> None:
    class Slow:
        def __del__(self) -> None:
            time.sleep(60)

    def collect() -> None:
        Slow()
        time.sleep(60)

    with pytest.raises(TimeLimit), time_limit(0.2, hung=unexpected):
        collect()
    assert capfd.readouterr().err == ""


def test_a_stage_within_a_stage_stops_the_outer_clock_and_has_its_own() -> None:
    with time_limit(0.5, hung=unexpected):
        with time_limit(5, hung=unexpected):
            time.sleep(0.8)
        with pytest.raises(TimeLimit, match=r"0\.1 s"), time_limit(0.1, hung=unexpected):
            time.sleep(60)

    def inner_then_more() -> None:
        with contextlib.suppress(TimeLimit), time_limit(0.1, hung=unexpected):
            time.sleep(60)
        time.sleep(60)

    with pytest.raises(TimeLimit, match=r"0\.4 s"), time_limit(0.4, hung=unexpected):
        inner_then_more()


def test_what_waited_for_the_signal_before_waits_again() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    outer = signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with time_limit(5, hung=unexpected):
            time.sleep(0.5)
        assert heard == []
        time.sleep(0.5)
        assert heard == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("loader", "told"), [("CDLL", True), ("PyDLL", False)])
def test_native_code_that_hangs_ends_the_process(loader: str, told: bool) -> None:
    """`PyDLL` holds the interpreter all the while, so that nothing in Python can tell of it."""
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-c", HANGS_IN_NATIVE_CODE.format(loader=loader)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert time.monotonic() - began < 30
    if told:
        assert (ran.returncode, ran.stdout) == (2, "time limit: the stage took longer than 0.5 s")
    else:
        assert (ran.returncode, ran.stdout) == (1, "")
        assert 'File "<string>", line 9' in ran.stderr
