"""Processes of Ray that have lost their device: they answer why, and end, so that Ray starts others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import ray

Answer = TypeVar("Answer")

ANSWER_SECONDS = 1.0
"""From the answer to the end of the process."""
ATTEMPTS = 3
"""Processes that may end under one piece of work before it counts as failed."""


@dataclass(frozen=True)
class Ended:
    """The answer of a process that ends now: its device was lost under the work, of which nothing is recorded."""

    reason: str


def unless_lost(work: Callable[[], Answer]) -> Answer | Ended:
    """The answer of a piece of work; where the device is lost under it, this process ends once that is under way."""
    from tasks.runtime.lost import DeviceLost

    try:
        return work()
    except DeviceLost as error:
        return _ending(error)


def go_on() -> None:
    """Return at once; never in a process that ends: what Ray gives it meanwhile would fail, and moves on with it."""
    while _ENDING.is_set():
        time.sleep(ANSWER_SECONDS)


_ENDING = threading.Event()


def gpu_share_of_this_process() -> float:
    """The part of a GPU that Ray has given to the task or actor that asks; 1 where that is none."""
    share: float = ray.get_runtime_context().get_assigned_resources().get("GPU", 1.0)
    return min(1.0, share)


def _ending(reason: BaseException) -> Ended:
    _ENDING.set()
    timer = threading.Timer(ANSWER_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
    return Ended(str(reason))
