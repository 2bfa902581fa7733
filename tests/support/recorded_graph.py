"""A stand-in for CUDA graphs on the CPU: operators are recorded once, and replayed on the tensors they had.

What a graph freezes is frozen here too: numbers that came from the host, sizes, addresses. A capture ends in an error
where an operator asks the device for a number. Not imitated: that memory freed within the capture is used again, and
that a capture computes nothing (here it computes, so what it did to the weights must be undone as well).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ASKING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "unique", "masked_select")
"""Operators that make the host wait for the device."""


class RecordedGraph(TorchDispatchMode):
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, tuple, dict, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.__name__.split(".")[0]
        if name in ASKING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        found = func(*args, **(kwargs or {}))
        if not func.is_view and not name.startswith(("empty", "new_empty")):
            made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
            self._calls.append((func, args, kwargs or {}, made))
        return found

    def replay(self) -> None:
        """Run every operator again, and write what it gives where it was."""
        with torch.no_grad():
            for func, args, kwargs, made in self._calls:
                again = [leaf for leaf in tree_leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
                for old, new in zip(made, again, strict=True):
                    if old is not new:
                        old.copy_(new)


class _Stream:
    def __init__(self, device: object = None) -> None:
        pass

    def wait_stream(self, other: object) -> None:
        pass


@contextmanager
def _graph(recorded: RecordedGraph, *, stream: object) -> Iterator[None]:
    with recorded:
        yield


def record_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `torch.cuda` capture by recording, for code that runs on the CPU."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", RecordedGraph)
    monkeypatch.setattr(torch.cuda, "graph", _graph)
    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", _Stream)
