"""Make the simulated device known to torch, once a process and for the rest of it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_map

from tests.support.simulated_device import stream
from tests.support.simulated_device.tensor import DEVICE_TYPE, compute

FACTORIES = ("arange", "arange.start", "arange.start_step", "linspace", "eye", "eye.m", "randperm")
"""Natively these resize an empty result, which a wrapper cannot follow."""
LOW_PRECISION = ("conv2d", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm")
"""What autocast computes in its type, of what the networks here are made of."""


class _Module(backend_registration._DummyBackendModule):
    """`torch.simulated`: what torch and its libraries ask of a device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def manual_seed_all(self, seed: int) -> None:
        stream.seed_with(seed)

    def get_rng_state(self, device: object = None) -> Tensor:
        return stream.GENERATOR.get_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        stream.GENERATOR.set_state(state)


MODULE = _Module()
_LIBRARIES: list[torch.library.Library] = []
"""Registrations last as long as these."""


def register() -> torch.device:
    """The device; a second call does nothing.

    Raises:
        RuntimeError: a backward pass has run in this process, after which torch takes no new device.
    """
    if not _LIBRARIES:
        backend_registration._setup_privateuseone_for_python_backend(DEVICE_TYPE, MODULE)
        _LIBRARIES.append(torch.library.Library("_", "IMPL"))
        _LIBRARIES[0].fallback(
            lambda operator, *args, **kwargs: compute(operator, args, kwargs), "PrivateUse1"
        )
        _LIBRARIES[0].fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
        _LIBRARIES.append(torch.library.Library("aten", "IMPL"))
        for name in FACTORIES:
            _LIBRARIES[1].impl(name, functools.partial(_factory, _overload(name)), "PrivateUse1")
        for name in LOW_PRECISION:
            _LIBRARIES[1].impl(name, functools.partial(_autocast, _overload(name)), "AutocastPrivateUse1")
        torch.tensor = _by_way_of_the_host(torch.tensor)
        torch.as_tensor = _by_way_of_the_host(torch.as_tensor)
    return torch.device(DEVICE_TYPE, 0)


def _overload(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload or "default")


def _factory(operator: Any, *args: Any, **kwargs: Any) -> Any:
    return compute(operator, args, kwargs)


def _autocast(operator: Any, *args: Any, **kwargs: Any) -> Any:
    dtype = torch.get_autocast_dtype(DEVICE_TYPE)

    def lowered(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.dtype == torch.float32 else value

    own = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
    with torch._C._ExcludeDispatchKeyGuard(own):
        return operator(*tree_map(lowered, args), **tree_map(lowered, kwargs))


def _by_way_of_the_host(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A maker of tensors whose copy to the device is seen: natively it happens below the dispatcher."""

    @functools.wraps(make)
    def made(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        if device is None or torch.device(device).type != DEVICE_TYPE:
            return make(data, *args, device=device, **kwargs)
        return make(data, *args, **kwargs).to(device)

    return made
