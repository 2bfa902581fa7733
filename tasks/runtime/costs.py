"""What a stage cost: wall time, device time, peak memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass
class Cost:
    """Filled when the measured block ends."""

    seconds: float = 0.0
    """Wall time."""
    device_seconds: float = 0.0
    """On the CPU the CPU time of this process, all threads, and the wall time of programs that it ran; on a GPU wall
    time up to its last operation, divided by the processes that share it: each waits for the others."""
    peak_bytes: int = 0
    """On CUDA the most memory allocated by torch; elsewhere the most resident memory of the process."""


@contextmanager
def measure(device: torch.device, *, share: float = 1.0) -> Iterator[Cost]:
    """Measure the block, without the blocks that are measured within it; other threads of the process count in it.

    So a stage costs the same whoever asks for it first: making it counts in it alone. Peak resident memory is that of
    the block where Linux lets a process reset it, else of the whole life of the process.

    Args:
        device: whose time and memory count.
        share: part of the device that this process may count as its own, in (0, 1].
    """
    cost, enclosing = Cost(), _MEASURED.get()
    if enclosing is not None:
        enclosing.peak_bytes = max(enclosing.peak_bytes, _peak(device))
    token = _MEASURED.set(cost)
    _reset_peak(device)
    _synchronise(device)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield cost
    finally:
        _synchronise(device)
        seconds = time.perf_counter() - wall
        device_seconds = time.process_time() - cpu if device.type == "cpu" else share * seconds
        cost.seconds += seconds  # what was nested has been taken off already
        cost.device_seconds += device_seconds
        cost.peak_bytes = max(cost.peak_bytes, _peak(device))
        _MEASURED.reset(token)
        if enclosing is not None:
            enclosing.seconds -= seconds
            enclosing.device_seconds -= device_seconds
            _reset_peak(device)


def count_program(device: torch.device, seconds: float) -> None:
    """Count a program that this process has waited for in the block that is measured.

    Its wall seconds count as device seconds. Where they are wall time anyway, waiting has counted already.

    Args:
        device: of the block.
        seconds: wall time of the program.
    """
    enclosing = _MEASURED.get()
    if enclosing is not None and device.type == "cpu":
        enclosing.device_seconds += seconds


_MEASURED: ContextVar[Cost | None] = ContextVar("measured", default=None)
"""What the innermost measured block around the current one has cost so far, less what was nested in it."""


def memory_in_use(device: torch.device) -> tuple[int, int]:
    """Bytes that this process holds on the device, and bytes that the device has.

    On CUDA what torch has reserved of the GPU, elsewhere resident memory of the process and of the machine.
    """
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device), torch.cuda.get_device_properties(device).total_memory
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    return _resident(page), page * pages


def _resident(page: int) -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page
    except (OSError, IndexError, ValueError):
        return _resident_peak()


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets VmHWM: proc(5)
    except OSError:
        return


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _resident_peak()


def _resident_peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, KiB on Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
