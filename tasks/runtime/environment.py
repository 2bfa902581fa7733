"""Variables of the environment that would change numbers: none of them reaches a computation.

Two kinds, as they are read at two times. What describes a launcher is read by accelerate when it is imported and when
it starts: it is hidden for these moments, so that the rest of the user's program, which may be launched by it, keeps
it. What chooses kernels is read once, when a library is loaded or first used, and cannot be hidden for a moment: it is
removed, in the processes of Lethe's commands before NumPy and torch are loaded, elsewhere when an engine is made.

Numbers of threads are set by `tasks.runtime.devices.limit_threads`. GLIBC_TUNABLES is read before Python starts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

LAUNCHER_PREFIXES = (
    "ACCELERATE_", "FSDP_", "FP8_", "MEGATRON_LM_", "PARALLELISM_CONFIG_", "PMI_", "OMPI_", "MV2_", "CCL_"
)  # fmt: skip
LAUNCHER = {
    "FORK_LAUNCHED",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "RANK",
    "WORLD_SIZE",
}
KERNELS = {
    "ATEN_CPU_CAPABILITY",
    "CUBLASLT_WORKSPACE_SIZE",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_CPU_ISA_HINTS",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "FORK_LAST3",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_DISABLE_FAST_MM",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "PYTORCH_TUNABLEOP_ENABLED",
    "TIMM_FUSED_ATTN",
    "TIMM_USE_NAFLEX",
    "TIMM_USE_NAFLEXVIT",
    "TIMM_USE_SCIPY_INTERP",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_BLAS_PREFER_CUBLASLT",
    "TORCH_CUDNN_SDPA_DEPRIORITIZED",
    "TORCH_CUDNN_USE_HEURISTIC_MODE_B",
    "TORCH_CUDNN_V8_API_DISABLED",
    "TORCH_LINALG_PREFER_CUSOLVER",
    "TORCH_LINEAR_FLATTEN_3D",
    "TORCH_MKLDNN_MATMUL_MIN_DIM",
    "TORCH_MKLDNN_MATMUL_MIN_SIZE",
}


def is_launcher(name: str) -> bool:
    """Whether a variable is one that accelerate takes a launch, a device or a precision from."""
    return name in LAUNCHER or name.startswith(LAUNCHER_PREFIXES)


@contextlib.contextmanager
def without_launcher() -> Iterator[None]:
    """Hide what describes a launcher; put it back at the end, without what was set of it meanwhile."""
    before = _take(is_launcher)
    try:
        yield
    finally:
        _take(is_launcher)
        os.environ.update(before)


def remove_kernel_choices() -> None:
    """Remove what would choose other kernels, for this process and those that it starts."""
    _take(KERNELS.__contains__)


def _take(wanted: Callable[[str], bool]) -> dict[str, str]:
    return {name: os.environ.pop(name) for name in list(os.environ) if wanted(name)}
