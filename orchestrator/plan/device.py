"""Which device `execution.device = "auto"` stands for, and whether this machine has the one that is named.

Asks the driver of the GPU, not torch, which takes seconds.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

from orchestrator.config.settings import Execution
from tasks.errors import AuditError

Device = Literal["cpu", "cuda", "mps"]


PRECISIONS: dict[str, tuple[str, ...]] = {
    "cpu": ("no", "bf16"),
    "mps": ("no", "bf16", "fp16"),
    "cuda": ("no", "tf32", "bf16", "fp16"),
}
"""What some device of each kind can train in; whether the one at hand can, its process says before it begins."""


def this_machines_device() -> Device:
    """The first accelerator of this machine that its torch can use, else the CPU."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cuda" if _torch_has_cuda() and _nvidia_gpus() else "cpu"


def check_precision(execution: Execution) -> None:
    """Refuse a precision that no device of the kind has; auto stands for one by now.

    Raises:
        AuditError: there is none.
    """
    known = PRECISIONS[execution.device]
    if execution.precision not in known:
        raise AuditError(
            f"execution.precision: '{execution.precision}' is not for device {execution.device}; expected "
            f"{' or '.join(known)}"
        )


def check_present(execution: Execution) -> None:
    """Refuse a device that this machine does not have, where the work is to be done on it and not on a cluster.

    Raises:
        AuditError: it is not here.
    """
    named = execution.device
    if execution.backend == "cluster" or named in ("auto", "cpu", this_machines_device()):
        return
    why = "its torch is built without CUDA" if named == "cuda" and not _torch_has_cuda() else "none answers"
    raise AuditError(
        f"execution.device: this machine has no {named} device ({why}); use auto or cpu, or --backend cluster where "
        "nodes have one"
    )


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
