"""A private Ray for the tests of a file: one start for all of them."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.backends.on_ray.session import connected

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(scope="module")
def private_ray() -> Iterator[dict[int, Any]]:
    """As `backend local` starts it: on loopback, without dashboard, gone afterwards.

    Yields the handlers of signals that this process had before.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    with connected("local", slots=1):
        yield before
