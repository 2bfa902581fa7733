"""Memory that runs out has one name, by whatever words it is told."""

import pytest
import torch

from tasks.runtime.memory import MEMORY_ERRORS, named_memory_errors


def met(error):
    try:
        with named_memory_errors():
            raise error
    except RuntimeError as found:
        return found


@pytest.mark.parametrize(
    "told",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "MPS backend out of memory (MPS allocated: 9.0 GB, max allowed: 9.07 GB)",
    ],
)
def test_what_libraries_say_of_it_is_it(told):
    found = met(RuntimeError(told))
    assert type(found) is torch.OutOfMemoryError
    assert str(found) == told.splitlines()[0]


def test_the_allocator_of_the_cpu_is_understood():
    told = pytest.raises(torch.OutOfMemoryError, match="you tried to allocate 4000000000000000 bytes")
    with told, named_memory_errors():
        torch.empty(10**15)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA error: device-side assert triggered"), torch.OutOfMemoryError("out of memory")],
)
def test_anything_else_stays_what_it_is(error):
    assert met(error) is error


def test_a_host_without_memory_has_its_own_exception():
    with pytest.raises(MEMORY_ERRORS), named_memory_errors():
        raise MemoryError
