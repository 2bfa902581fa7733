"""Device, precision and determinism of a process, over Hugging Face accelerate."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import os
import platform
from collections.abc import Iterator
from typing import Literal

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from tasks.errors import AuditError
from tasks.runtime.environment import remove_kernel_choices, without_launcher
from tasks.runtime.float32 import AMPERE, full_float32, tensor_float32

with without_launcher():  # it sets the level of its log while it is imported
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import get_mixed_precision_context_manager

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["no", "tf32", "bf16", "fp16"]


class Engine:
    """Where and in what precision models are trained.

    The precision holds in the body of the model during training and unlearning; parameters, logits, loss and
    every score are float32. Deterministic algorithms and full float32 are switched on for the process. accelerate
    keeps its state once per process; an engine keeps what it needs of its own and leaves that state as it was, so
    neither a later engine nor the user's own accelerator changes it, nor does the environment
    (`tasks.runtime.environment`).

    Args:
        device: auto takes the first accelerator, else the CPU.
        precision: no (float32), tf32 (an NVIDIA GPU's), bf16, or fp16 (with loss scaling; not on the CPU).

    Raises:
        AuditError: the device is absent, or does not have the precision.
    """

    def __init__(self, *, device: DeviceName = "auto", precision: Precision = "no") -> None:
        _check(device, precision)
        use_deterministic_algorithms()
        full_float32()
        with _accelerate_alone():
            try:
                accelerator = Accelerator(
                    mixed_precision="no" if precision == "tf32" else precision,
                    cpu=device == "cpu",
                    gradient_accumulation_steps=1,
                    dynamo_backend="no",
                )
            except ValueError as error:
                raise AuditError(f"precision: '{precision}' is not available: {error}") from error
            self._autocast = get_mixed_precision_context_manager(accelerator.native_amp)
            self.device: torch.device = accelerator.device
        self.precision: Precision = precision
        _check_precision(precision, self.device)
        self._scaler = accelerator.scaler
        self._initial_scale = self._scaler.state_dict() if self._scaler is not None else {}

    @property
    def name(self) -> str:
        """What the costs are of: the GPU's model, else the kind of device."""
        return _named(self.device)

    def begin(self) -> None:
        """Forget the loss scale of an earlier training, so that results do not depend on it."""
        if self._scaler is not None:
            self._scaler.load_state_dict(self._initial_scale)

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """The precision, for the forward pass of a body."""
        return tensor_float32() if self.precision == "tf32" else copy.copy(self._autocast)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`, scaled for fp16."""
        # Not Accelerator.backward: it divides by the accumulation steps of the accelerator that was made last.
        scaled = loss if self._scaler is None else self._scaler.scale(loss)
        if self.precision == "tf32":  # the others are in the graph
            with tensor_float32():
                scaled.backward()
        else:
            scaled.backward()

    def step(self, optimizer: torch.optim.Optimizer, *, max_norm: float = 0.0) -> None:
        """Clip the gradients of the optimiser's parameters to `max_norm` (0: not), and step.

        With fp16 a step whose gradients overflow is left out and the loss scale halved.
        """
        if max_norm > 0:
            self.unscale(optimizer)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the optimiser's gradients their true size, for code that reads or masks them; once a step."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)


@contextlib.contextmanager
def _accelerate_alone() -> Iterator[None]:
    """accelerate as if nothing else in this process used it and nothing had launched the process."""
    states = [kind._shared_state for kind in (AcceleratorState, PartialState, GradientState)]
    before = [dict(state) for state in states]
    for state in states:
        state.clear()
    try:
        with without_launcher():
            yield
    finally:
        for state, kept in zip(states, before, strict=True):
            state.clear()
            state.update(kept)


def _check(device: str, precision: str) -> None:
    if device not in ("auto", "cpu", "cuda", "mps"):
        raise AuditError(f"device: expected auto, cpu, cuda or mps, got '{device}'")
    if precision not in ("no", "tf32", "bf16", "fp16"):
        raise AuditError(f"precision: expected no, tf32, bf16 or fp16, got '{precision}'")
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device, True):
        raise AuditError(f"device: '{device}' is not available on {platform.node()}; use auto or cpu")


def _check_precision(precision: str, device: torch.device) -> None:
    if precision == "fp16" and device.type == "cpu":
        raise AuditError("precision: fp16 needs an accelerator; on the CPU use bf16 or no")
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device) >= AMPERE
    if not ampere and (precision == "tf32" or (precision == "bf16" and device.type == "cuda")):
        instead = "no" if precision == "tf32" else "fp16 or no"
        raise AuditError(
            f"precision: {precision} needs an NVIDIA GPU from Ampere on, got {_named(device)}; use {instead}"
        )


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def use_deterministic_algorithms() -> None:
    """Make every later torch operation of this process deterministic, or fail by name.

    cuBLAS reads its variable at its first call, so this comes before any work on a GPU.
    """
    remove_kernel_choices()
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


WITHOUT_FLOAT64 = {"mps"}
"""Kinds of device that refuse every tensor of it."""


def off_mps(values: Tensor) -> Tensor:
    """The values where float64 is to be had: on the CPU in place of Apple's GPU, else where they are."""
    return values.cpu() if values.device.type in WITHOUT_FLOAT64 else values


@contextlib.contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Let the C library keep up to 512 MiB of what this block frees; does nothing where it is not glibc.

    By default it returns the activations of a training step to the system, which are megabytes each, and
    every new page of the next step costs a fault: measured, about a tenth of the time of 16 models in lockstep.
    At the end all goes back, so that the memory of later stages is their own.
    """
    try:
        libc = ctypes.CDLL(None)
        keep, give_back = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        yield
        return
    keep(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    keep(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    try:
        yield
    finally:
        keep(_M_MMAP_THRESHOLD, _USUAL_BYTES)
        keep(_M_TRIM_THRESHOLD, 2 * _USUAL_BYTES)
        give_back(0)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""As glibc's malloc.h has them."""
_KEPT_BYTES, _USUAL_BYTES = 512 << 20, 32 << 20
"""The second is what glibc's own moving threshold comes to once blocks of such a size were freed."""


def limit_threads(count: int) -> None:
    """Let this process compute with `count` CPU threads; several models at once want one thread each.

    The BLAS of NumPy too: its products differ in their last bits by the number of threads.
    """
    if count < 1:
        raise AuditError(f"threads: expected at least 1, got {count}")
    torch.set_num_threads(count)
    threadpool_limits(count, user_api="blas")
