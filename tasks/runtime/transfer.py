"""Fetch tensors from a device, and send it some, in few copies: the host waits for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

MOST_BYTES = 256 << 20
"""Of one copy; so much memory of the device it takes besides."""


def on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors of equal numbers on the CPU, in the order of their names here.

    Those of a device come many in a copy and so share memory, without overlap; those of the CPU are as they are where
    they are contiguous.
    """
    fetched = {
        name: tensor.detach().contiguous() for name, tensor in tensors.items() if tensor.device.type == "cpu"
    }
    for names in _copies({name: tensor for name, tensor in tensors.items() if name not in fetched}):
        joined = torch.cat([tensors[name].detach().reshape(-1) for name in names]).cpu()
        parts = joined.split([tensors[name].numel() for name in names])
        fetched |= {name: part.view(tensors[name].shape) for name, part in zip(names, parts, strict=True)}
    return {name: fetched[name] for name in tensors}


def on_device(tensors: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Tensors of the CPU, alike but for their lengths, one after the other on a device; made when a copy is full."""
    if device.type == "cpu":
        yield from tensors
        return
    held: list[Tensor] = []
    for tensor in tensors:
        held.append(tensor)
        if sum(part.nbytes for part in held) >= MOST_BYTES:
            yield from _sent(held, device)
            held = []
    if held:
        yield from _sent(held, device)


def _sent(tensors: Sequence[Tensor], device: torch.device) -> Sequence[Tensor]:
    return torch.cat(tuple(tensors)).to(device).split([len(tensor) for tensor in tensors])


def _copies(tensors: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Names that travel together: of one device and type, `MOST_BYTES` or one tensor."""
    kinds: dict[tuple[torch.device, torch.dtype], list[str]] = {}
    for name, tensor in tensors.items():
        kinds.setdefault((tensor.device, tensor.dtype), []).append(name)
    for names in kinds.values():
        together, size = [names[0]], tensors[names[0]].nbytes
        for name in names[1:]:
            if size + tensors[name].nbytes > MOST_BYTES:
                yield together
                together, size = [], 0
            together.append(name)
            size += tensors[name].nbytes
        yield together
