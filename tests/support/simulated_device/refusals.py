"""What CUDA refuses, and which operators make the host wait; as PyTorch 2.14 has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.support.simulated_device.record import line

COPIES = frozenset({"copy_", "_copy_from", "_copy_from_and_resize"})
INDEXED = frozenset(
    {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
)
"""Take indices of the host for a tensor of the device, and upload them unasked."""
WITHOUT_HOST_SCALARS = frozenset(
    {
        "cat",
        "stack",
        "mm",
        "bmm",
        "addmm",
        "baddbmm",
        "gather",
        "scatter",
        "scatter_",
        "index_select",
        "embedding",
    }
)
"""Refuse even a tensor of one number on the host, which operators number by number take as an argument."""
WAITING = frozenset(
    {
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "equal",
        "bincount",
        "unique_dim",
        "unique_consecutive",
    }
    | {"_unique", "_unique2", "repeat_interleave"}
    | {"_linalg_check_errors", "_linalg_eigh", "_linalg_svd", "linalg_eig", "linalg_lstsq"}
)
"""Have a result that the host must know before it goes on: a number, or a size."""
NOT_DETERMINISTIC = frozenset(
    {f"adaptive_max_pool{d}d_backward" for d in (2,)}
    | {f"_adaptive_avg_pool{d}d_backward" for d in (2, 3)}
    | {f"fractional_max_pool{d}d_backward" for d in (2, 3)}
    | {f"grid_sampler_{d}d_backward" for d in (2, 3)}
    | {f"max_unpool{d}d" for d in (2, 3)}
    | {f"reflection_pad{d}d_backward" for d in (1, 2, 3)}
    | {f"replication_pad{d}d_backward" for d in (3,)}
    | {f"upsample_{kind}_backward" for kind in ("linear1d", "bilinear2d", "bicubic2d", "trilinear3d")}
    | {f"_upsample_{kind}2d_aa_backward" for kind in ("bilinear", "bicubic", "lanczos")}
    | {f"nll_loss2d_{way}" for way in ("forward", "backward")}
    | {"avg_pool3d_backward", "_ctc_loss_backward", "histc", "put_", "kthvalue"}
)
"""Have no deterministic kernel on CUDA: see `torch.use_deterministic_algorithms`."""

RANDOM_IN_TWO_PARTS = frozenset({"median", "nanmedian", "bincount"})
"""The same where they are asked for places (`dim`), or given `weights`."""

IN_BACKWARD: list[str] = []
"""Refusals within backward passes, where raising would end the process; whoever runs one looks here afterwards."""


def refuse(message: str) -> None:
    """Raise as CUDA would; in a thread of autograd keep the message instead."""
    if torch._C._current_graph_task_id() == -1:
        raise RuntimeError(message)
    IN_BACKWARD.append(message)


def check(
    operator: str, args: Sequence[Any], kwargs: Mapping[str, Any], own: list[Tensor], host: list[Tensor]
) -> None:
    """Refuse tensors of two devices, a generator of the host, and what has no deterministic kernel.

    Args:
        operator: its name, without overload.
        args: as called.
        kwargs: as called.
        own: the tensors among the arguments that are on the device.
        host: those that are not.
    """
    if kwargs.get("generator") is not None:
        refuse(f"Expected a 'simulated' device type for generator but found 'cpu' ({operator}, {line()})")
    if _is_random(operator, args, kwargs) and torch.are_deterministic_algorithms_enabled():
        refuse(f"{operator} does not have a deterministic implementation ({line()})")
    if operator in INDEXED and own and args[0] is own[0]:
        indices = {id(index) for index in args[1] if index is not None}
        host = [tensor for tensor in host if id(tensor) not in indices]
    strict = operator in WITHOUT_HOST_SCALARS
    written = operator.endswith("_") and operator != "fill_" and any(args[0] is tensor for tensor in host)
    if own and operator not in COPIES and (written or any(tensor.dim() or strict for tensor in host)):
        refuse(
            "Expected all tensors to be on the same device, but found at least two devices, simulated:0 and cpu!"
            f" ({operator}, {line()})"
        )


def _is_random(operator: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operator, as it is called, has no deterministic kernel."""
    second = len(args) > 1 or bool(kwargs.keys() & {"dim", "weights"})
    return operator in NOT_DETERMINISTIC or (operator in RANDOM_IN_TWO_PARTS and second)


def waits(operator: str, args: Sequence[Any], target: torch.device | None, own: list[Tensor]) -> bool:
    """Whether the host must wait for the device: to read numbers, or because a mask decides on a size."""
    masked = operator in INDEXED and any(
        index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
    )
    to_host = operator in COPIES and not any(args[0] is tensor for tensor in own)
    return bool(own) and (
        operator in WAITING or masked or to_host or (target is not None and target.type == "cpu")
    )


def uploads(operator: str, own: list[Tensor], host: list[Tensor], args: Sequence[Any]) -> bool:
    """Whether numbers of the host are copied to the device."""
    into = bool(own) and args[0] is own[0]
    return into and bool(host) and (operator in INDEXED or operator in COPIES)
