"""Memory that runs out, whoever says so: torch has an exception for it, and raises others where libraries meet it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import torch

MEMORY_ERRORS = (MemoryError, torch.OutOfMemoryError)
_TOLD = re.compile(r"out of memory|(can't allocate|not enough) memory|ALLOC(ATION)?_FAILED")
"""By CUDA and Metal; by torch's allocator of the CPU; by cuBLAS, cuDNN and cuSOLVER."""


@contextlib.contextmanager
def named_memory_errors() -> Iterator[None]:
    """Raise what the block meets for want of memory as one of `MEMORY_ERRORS`, by its first line."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, MEMORY_ERRORS) or not _TOLD.search(str(error)):
            raise
        raise torch.OutOfMemoryError(str(error).splitlines()[0]) from error
