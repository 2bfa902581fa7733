"""The random stream of the simulated device: operators on it draw from there and not from the CPU's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

GENERATOR = torch.Generator()
"""Where the stream is."""


@contextmanager
def drawn_from(operator: Any) -> Iterator[None]:
    """Give an operator that draws the device's stream in place of the CPU's."""
    if torch.Tag.nondeterministic_seeded not in operator.tags:
        yield
        return
    kept = torch.default_generator.get_state()
    torch.default_generator.set_state(GENERATOR.get_state())
    try:
        yield
    finally:
        GENERATOR.set_state(torch.default_generator.get_state())
        torch.default_generator.set_state(kept)
