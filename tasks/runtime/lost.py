"""A device that its process has lost: after some CUDA errors every later call of the process fails, whoever makes it.

A device-side assert or an illegal address breaks the CUDA context of a process for as long as it lives; a GPU that has
fallen off the bus is gone for all. Whatever the process does then fails at once, so no failure of it says anything of
the work, and only another process can go on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from tasks.runtime.memory import MEMORY_ERRORS, named_memory_errors
from tasks.runtime.time_limit import TimeLimit


class DeviceLost(BaseException):
    """The device answers this process no longer. No Exception: what takes failures for results must let it pass."""


@contextlib.contextmanager
def watched(device: torch.device) -> Iterator[None]:
    """Ask the device, where the block fails, whether it still works.

    Raises:
        DeviceLost: it does not; with the first line of what the block met.
    """
    try:
        yield
    except TimeLimit:  # a device that is busy need not answer
        raise
    except (Exception, SystemExit) as error:  # as a plug-in may leave that met it
        if answers(device):
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, SystemExit):
            first = f"the code called sys.exit({first})"
        raise DeviceLost(f"device {device.type}: lost to its process: {first}") from error


def answers(device: torch.device) -> bool:
    """Whether the device can still add one and one; one that only has no memory left can."""
    try:
        with named_memory_errors():
            return int(torch.ones(1, device=device) + 1) == 2
    except MEMORY_ERRORS:
        return True
    except Exception:  # whatever a broken context raises
        return False
