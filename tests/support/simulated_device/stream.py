"""The random stream of the simulated device: operators on it draw from there and not from the CPU's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

GENERATOR = torch.Generator()
"""Where the stream is."""
APART = 0
"""Added to every seed. With 0 the device draws the numbers of the CPU, which CUDA does not: whoever must not draw from
the device is tested with another one."""


def seed_with(seed: int) -> None:
    """Begin the stream anew."""
    GENERATOR.manual_seed(seed + APART)


@contextmanager
def drawn_from() -> Iterator[None]:
    """Inside the block operators of the CPU draw from the device's stream in place of the CPU's."""
    kept = torch.default_generator.get_state()
    torch.default_generator.set_state(GENERATOR.get_state())
    try:
        yield
    finally:
        GENERATOR.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(kept)
