"""Which operators of a model have no deterministic form on CUDA: its training there would be refused in the middle.

`torch.use_deterministic_algorithms` lists them (torch 2.14). Most are backward passes, called by layers or by plain
functions within them, so they are looked for where they are called: in one forward and backward pass of a copy without
numbers, on torch's meta device.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

FORWARD = ("fractional_max_pool2d", "fractional_max_pool3d", "max_unpool2d", "max_unpool3d")
BACKWARD = (
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "_upsample_bicubic2d_aa",
    "_upsample_bilinear2d_aa",
    "_upsample_lanczos2d_aa",
    "adaptive_max_pool2d",
    "avg_pool3d",
    "grid_sampler_2d",
    "grid_sampler_3d",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "upsample_bicubic2d",
    "upsample_bilinear2d",
    "upsample_linear1d",
    "upsample_trilinear3d",
)
"""Replication padding and (tri)linear interpolation of layers are replaced by others in that mode."""
REFUSED = frozenset({*FORWARD, *(f"{name}_backward" for name in BACKWARD)})


def refused_on_cuda(model: nn.Module, image_shape: tuple[int, ...]) -> list[str]:
    """Names of operators that CUDA refuses while algorithms are deterministic; empty where the copy cannot run.

    Args:
        model: left as it is.
        image_shape: channels, height, width.
    """
    seen = _Seen()
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        hollow = copy.deepcopy(model).to("meta").train()
        with seen:
            hollow(torch.empty(2, *image_shape, device="meta")).sum().backward()
    except (RuntimeError, NotImplementedError):  # code that looks at numbers: what it met till then is known
        pass
    finally:
        torch.use_deterministic_algorithms(before)
    return sorted(seen.names & REFUSED)


class _Seen(TorchDispatchMode):
    """Notes the names of the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))
