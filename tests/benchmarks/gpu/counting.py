"""What a step asks for, whatever the clock says: operators, arithmetic, traffic; on a card launches and waits."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.gpu.subjects import Subject

LAUNCHES = ("LaunchKernel", "GraphLaunch", "MemcpyAsync", "MemsetAsync")
WAITS = ("StreamSynchronize", "EventSynchronize")
"""Parts of names of CUDA's calls as torch.profiler shows them."""


class Traffic(TorchDispatchMode):
    """Counts the operators that run, and the bytes that they read and write: each tensor once for each operator.

    Views move nothing and are not counted. Caches are not known: it is what reaches them, not what reaches memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operators, self.bytes = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view and not func.__name__.startswith(("empty", "detach")):
            self.operators += 1
            self.bytes += sum(_touched(leaf) for leaf in tree_leaves((args, kwargs, found)))
        return found


def _touched(leaf: object) -> int:
    """Bytes of a tensor; what is expanded is stored once."""
    return min(leaf.nbytes, leaf.untyped_storage().nbytes()) if isinstance(leaf, Tensor) else 0


def flops(subject: Subject) -> float:
    """Floating-point operations of a forward and backward pass of one example, two for each multiply-add."""
    model, batch = subject.build(0).train(), subject.examples(2).batch(torch.arange(2))
    with (
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):  # others are not all counted
        subject.data.objective.loss(model(batch.inputs), batch).backward()
    return counter.get_total_flops() / 2


def launches(run: Callable[[], object]) -> dict[str, float]:
    """Kernels and copies that the device ran, and the host's launches and waits."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        run()
        torch.cuda.synchronize()  # a wait for the device, which is not among those counted
    counts: Counter[str] = Counter({"kernels": 0, "copies": 0, "launches": 0, "waits": 0})
    for event in profile.events():
        if event.is_user_annotation:
            continue  # the optimiser marks its step on the device's timeline too
        if event.device_type == torch.autograd.DeviceType.CUDA:
            counts["copies" if event.name.startswith(("Memcpy", "Memset")) else "kernels"] += 1
        elif event.name.startswith("cu"):
            counts["launches"] += any(part in event.name for part in LAUNCHES)
            counts["waits"] += any(part in event.name for part in WAITS)
    return dict(counts)


def waiting_lines(run: Callable[[], object]) -> list[tuple[str, int]]:
    """Where Python made the host wait for the device, and how often; the most frequent first."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [w for w in caught if "synchronizing" in str(w.message)]
    return Counter(f"{Path(w.filename).name}:{w.lineno}" for w in waits).most_common()
