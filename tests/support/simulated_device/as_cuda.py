"""Let the simulated device stand where CUDA would: the code under test asks torch and accelerate, and finds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from accelerate.state import PartialState

from tests.support.simulated_device.backend import MODULE, register


@contextmanager
def simulated_cuda() -> Iterator[torch.device]:
    """Inside the block `Engine(device="cuda")` and "auto" compute on the simulated device, the only GPU of the machine.

    What is said of CUDA as a whole (is there any, seeds, where its streams are) is answered for it; its tensors say
    that they are of type "simulated", so code that asks a tensor for "cuda" is not run here.
    """
    device = register()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("is_available", "is_initialized", "device_count"):
            patch.setattr(torch.cuda, name, getattr(MODULE, name))
        for name in ("manual_seed_all", "get_rng_state", "set_rng_state"):
            patch.setattr(torch.cuda, name, getattr(MODULE, name))
        patch.setattr(
            torch.cuda.random, "manual_seed", MODULE.manual_seed_all
        )  # by this name torchattacks seeds
        patch.setattr(torch.cuda, "is_bf16_supported", MODULE.is_available)
        patch.setattr(PartialState, "default_device", property(lambda _state: device))
        yield device
