"""Full float32 in a process, whatever its backends would take in its place, and TF32 for as long as it is asked for.

cuDNN's convolutions default to TF32 (10 bits of mantissa), cuBLAS and oneDNN take it, or bfloat16, where a program has
asked for speed. Scores feed logit-scaled confidences and their tails, so nothing but a named precision lowers a bit.
torch has two sets of switches and refuses to compute where they disagree: both are set, the older ones first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

AMPERE = (8, 0)
"""Compute capability of the first NVIDIA GPUs with TF32, and with bfloat16: older ones emulate it, where they can."""


def full_float32() -> None:
    """Compute every later float32 product and convolution of this process in float32."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    for switch in _switches():
        switch.fp32_precision = "ieee"


@contextlib.contextmanager
def tensor_float32() -> Iterator[None]:
    """Let CUDA round the factors of float32 products and convolutions to TF32 inside the block, where it has it."""
    with keeping_float32():
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        yield


@contextlib.contextmanager
def keeping_float32() -> Iterator[None]:
    """Put the switches back as they were before the block."""
    older = _older()
    newer = [switch.fp32_precision for switch in _switches()]
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(older[0])
        torch.backends.cudnn.allow_tf32 = older[1]
        for switch, value in zip(_switches(), newer, strict=True):
            switch.fp32_precision = value


def _older() -> tuple[str, bool]:
    """The older switches; those of full float32 where they cannot be read, since the newer ones differ from them."""
    try:
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return "highest", False


def _switches() -> tuple[Any, ...]:
    backends: Any = torch.backends  # its modules are replaced while they are imported, which no checker sees
    cuda, cudnn, onednn = backends.cuda, backends.cudnn, backends.mkldnn
    return cuda.matmul, cudnn.conv, cudnn.rnn, onednn.matmul, onednn.conv, onednn.rnn
