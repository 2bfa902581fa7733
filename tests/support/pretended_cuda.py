"""A plug-in that stands for GPUs: in every process that loads it, device cuda is there and computes on the CPU.

With GPUs that Ray is given by hand, all that is done about devices and their parts is done, and every number is that
of the CPU.
"""

from __future__ import annotations

from typing import Any

from orchestrator.plan import device
from tasks.runtime.devices import Engine

on_this_machine = Engine.__init__


def pretended(engine: Engine, *, device: Any = "auto", precision: Any = "no") -> None:
    """An engine on the CPU where CUDA is asked for."""
    on_this_machine(engine, device="cpu" if device == "cuda" else device, precision=precision)


Engine.__init__ = pretended  # type: ignore[method-assign]
device.this_machines_device = lambda: "cuda"
