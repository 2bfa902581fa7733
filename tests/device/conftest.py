"""Lethe on a device that is not the CPU, simulated: each file in a process of its own, where CUDA is the simulation.

What it takes is imported there alone: the process that reports has no use for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.own_process import run_apart

if TYPE_CHECKING:
    import torch


def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    return run_apart(item) if item.path.is_relative_to(Path(__file__).parent) else None


@pytest.fixture(autouse=True, scope="session")
def device() -> Iterator[torch.device]:
    """The simulated device, which `Engine(device="cuda")` takes."""
    from tests.support.simulated_device.as_cuda import simulated_cuda

    with simulated_cuda() as device:
        yield device


@pytest.fixture(autouse=True)
def _nothing_refused_in_backward_passes() -> Iterator[None]:
    from tests.support.simulated_device import refusals

    refusals.IN_BACKWARD.clear()
    yield
    assert not refusals.IN_BACKWARD
