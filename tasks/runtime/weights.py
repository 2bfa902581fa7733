"""Model weights as safetensors: no code in the file, equal weights give equal bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from tasks.errors import AuditError
from tasks.runtime.transfer import on_host


def dump(model: nn.Module) -> bytes:
    """Every parameter and buffer, on any device and in any layout; shared tensors are written twice."""
    return dump_tensors(model.state_dict())


def dump_tensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Named tensors of a shared stage (saliency, Fisher information)."""
    return safetensors.torch.save({name: tensor.clone() for name, tensor in on_host(tensors).items()})


def load_tensors(data: bytes, *, device: torch.device) -> dict[str, torch.Tensor]:
    """What `dump_tensors` wrote, on a device.

    Raises:
        AuditError: the bytes are damaged.
    """
    return {name: tensor.to(device) for name, tensor in _parse(data).items()}


def _parse(data: bytes) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError) as error:
        raise AuditError(f"weights: damaged file: {error}") from error


def load(model: nn.Module, data: bytes) -> None:
    """Copy weights into `model`, which keeps its device and layout.

    Raises:
        AuditError: the bytes are damaged, or names, shapes or types are not those of the model.
    """
    state = _parse(data)
    own = model.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in state:
            raise AuditError(f"weights: '{name}' is missing")
        if name not in own:
            raise AuditError(f"weights: '{name}' is not part of this architecture")
        expected, got = own[name], state[name]
        if (expected.shape, expected.dtype) != (got.shape, got.dtype):
            raise AuditError(
                f"weights: '{name}': expected {expected.dtype} {tuple(expected.shape)},"
                f" got {got.dtype} {tuple(got.shape)}"
            )
    model.load_state_dict(state)


def digest(data: bytes) -> str:
    """SHA-256 of dumped weights, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
