"""Which device `execution.device = "auto"` stands for; asks the driver of the GPU, not torch, which takes seconds."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda", "mps"]


def this_machines_device() -> Device:
    """The first accelerator of this machine that its torch can use, else the CPU."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cuda" if _torch_has_cuda() and _nvidia_gpus() else "cpu"


def _nvidia_gpus() -> int:
    """GPUs that this process may see (CUDA_VISIBLE_DEVICES counts); 0 without a driver."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return 0
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA: its version file says so without an import."""
    spec = PathFinder.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return False
    file = Path(spec.submodule_search_locations[0]) / "version.py"
    try:
        return re.search(r"^cuda\b.*=\s*['\"]\d", file.read_text(), re.MULTILINE) is not None
    except OSError:
        return False
