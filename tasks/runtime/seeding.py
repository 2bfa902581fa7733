"""Named, independent random streams; nothing in the audit draws from a global generator."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(*purpose: str | int) -> int:
    """Map a path of names and numbers to a seed in [0, 2**63).

    Streams of different paths are independent for every practical purpose (SHA-256 prefix).
    """
    text = json.dumps(purpose, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose."""
    return np.random.default_rng(derive_seed(*purpose))


def torch_generator(*purpose: str | int) -> torch.Generator:
    """A CPU torch generator for one purpose; the CPU keeps draws equal on every device."""
    import torch

    generator = torch.Generator(device="cpu")
    generator.manual_seed(derive_seed(*purpose))
    return generator


@contextmanager
def isolated_global_rng(*purpose: str | int) -> Iterator[None]:
    """Run library code that draws from global generators under a fixed seed, then restore them.

    timm's initialisers, dropout and torchattacks take no generator. Python, NumPy, torch CPU, Apple's GPU where there
    is one and, once CUDA is in use, every CUDA device are seeded on entry and put back on exit.
    """
    import torch

    seed = derive_seed(*purpose)
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002 - the legacy state is what libraries draw from
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    mps_state = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            torch.cuda.manual_seed_all(seed)
        if mps_state is not None:
            torch.mps.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
            if mps_state is not None:
                torch.mps.set_rng_state(mps_state)
