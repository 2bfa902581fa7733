"""A tensor of the simulated device, and how an operator on it is computed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from tests.support.simulated_device import refusals, stream
from tests.support.simulated_device.record import is_recorded, note

DEVICE_TYPE = "simulated"


class SimulatedTensor(Tensor):
    """Claims the device; `numbers` holds its values on the CPU, in the same layout."""

    numbers: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, numbers: Tensor) -> SimulatedTensor:
        """The device's tensor of these numbers, which nothing else should hold."""
        tensor: SimulatedTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=torch.device(DEVICE_TYPE, 0),
        )
        tensor.numbers = numbers
        return tensor

    @classmethod
    def __torch_dispatch__(
        cls, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every operator, below autograd."""
        return compute(operator, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        """The numbers, told apart from the CPU's."""
        return f"{type(self).__name__}({self.numbers!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> SimulatedTensor:
        """As of any leaf: torch's own copies the storage, which is empty here."""
        if id(self) not in memo:
            copied = SimulatedTensor(self.numbers.detach().clone()).requires_grad_(self.requires_grad)
            if isinstance(self, torch.nn.Parameter):
                copied._is_param = True
            if self.grad is not None:
                copied.grad = self.grad.__deepcopy__(memo)
            memo[id(self)] = copied
        return memo[id(self)]

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """The same numbers without history."""
        return self.detach()

    @data.setter
    def data(self, other: SimulatedTensor) -> None:
        torch.Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        self.numbers = other.numbers

    # What native code converts below the dispatcher, where no operator is seen:

    def __getitem__(self, index: Any) -> Tensor:
        """Lists and arrays among the indices become tensors of the host first."""
        return super().__getitem__(_as_tensors(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        """See `__getitem__`."""
        super().__setitem__(_as_tensors(index), value)

    def new_tensor(self, data: Any, **options: Any) -> Tensor:
        """By way of the host."""
        return torch.tensor(data, **{"dtype": self.dtype, "device": self.device} | options)

    def tolist(self) -> Any:
        """By way of the host."""
        return self.cpu().tolist()


def _as_tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_as_tensors(part) for part in index)
    return torch.as_tensor(index) if isinstance(index, list | np.ndarray) else index


def compute(operator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Check, count, compute on the CPU, and wrap what belongs to the device."""
    name = operator._schema.name.removeprefix("aten::")
    own: list[SimulatedTensor] = []
    host: list[Tensor] = []
    on_host = {key: value for key, value in kwargs.items() if key not in ("pin_memory", "generator")}
    target = None
    if kwargs.get("device") is not None:
        target, on_host["device"] = torch.device(kwargs["device"]), torch.device("cpu")
    plain = [_numbers(value, own, host) for value in args]
    on_host = {key: _numbers(value, own, host) for key, value in on_host.items()}
    refusals.check(name, args, kwargs, own, host)
    if kwargs.get("pin_memory") and target is not None and target.type == DEVICE_TYPE:
        refusals.refuse("Only dense CPU tensors can be pinned")
    draws = torch.Tag.nondeterministic_seeded in operator.tags
    with stream.drawn_from() if draws else nullcontext():
        result = operator(*plain, **on_host)
    stays = target is None or target.type == DEVICE_TYPE
    if is_recorded():
        made = tree_leaves(result) if stays else []
        note(
            name,
            wait=refusals.waits(name, args, target, own),
            upload=refusals.uploads(name, own, host, args),
            double=any(isinstance(t, Tensor) and t.dtype == torch.float64 for t in (*own, *made)),
        )
    return _wrapped(result, {id(t.numbers): t for t in own} | {id(t): t for t in host}) if stays else result


def _numbers(value: Any, own: list[SimulatedTensor], host: list[Tensor]) -> Any:
    """An argument as the CPU takes it; tensors are noted by where they are."""
    if isinstance(value, SimulatedTensor):
        own.append(value)
        return value.numbers
    if isinstance(value, Tensor):
        host.append(value)
    return [_numbers(part, own, host) for part in value] if isinstance(value, list | tuple) else value


def _wrapped(value: Any, known: Mapping[int, Tensor]) -> Any:
    """What in-place operators return stays what it was; anything else is a new tensor of the device."""
    if isinstance(value, list | tuple):
        return type(value)(_wrapped(part, known) for part in value)
    if not isinstance(value, Tensor):
        return value
    tensor = known.get(id(value))
    if tensor is None:
        return SimulatedTensor(value)
    if isinstance(tensor, SimulatedTensor) and tensor.shape != value.shape:
        tensor.data = SimulatedTensor(value)  # unsqueeze_ and its kin
    return tensor
