import platform
import resource
import subprocess
import sys

import pytest
import torch
from torch import nn

from tasks.errors import AuditError
from tasks.runtime.devices import Engine, limit_threads


def autocast_dtype(engine):
    with engine.autocast():
        return nn.Linear(2, 2)(torch.ones(1, 2)).dtype


def test_engines_of_other_precision_do_not_disturb_each_other():
    first = Engine(device="cpu")
    second = Engine(device="cpu", precision="bf16")
    third = Engine(device="cpu", precision="no")
    assert [autocast_dtype(e) for e in (first, second, third)] == [
        torch.float32,
        torch.bfloat16,
        torch.float32,
    ]
    with second.autocast(), second.autocast():
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
    for engine in (first, second, third):
        weight = torch.ones(2, requires_grad=True)
        engine.backward((3 * weight).sum())
        assert torch.equal(weight.grad, torch.full((2,), 3.0))
        assert engine.device.type == "cpu"


def test_clipping_bounds_the_gradient_norm():
    weight = nn.Parameter(torch.zeros(4))
    engine = Engine(device="cpu")
    optimizer = torch.optim.SGD([weight], lr=1.0)
    engine.backward((weight * torch.tensor([3.0, 4.0, 0.0, 0.0])).sum())
    engine.step(optimizer, max_norm=1.0)
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.6, -0.8, 0.0, 0.0]), atol=1e-5, rtol=0)


def test_deterministic_algorithms_are_on():
    torch.use_deterministic_algorithms(False)
    Engine(device="cpu")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "device: expected auto, cpu, cuda or mps, got 'tpu'"),
        ({"device": "cpu", "precision": "fp8"}, "precision: expected no, tf32, bf16 or fp16, got 'fp8'"),
        ({"device": "cpu", "precision": "fp16"}, "fp16 needs an accelerator"),
    ],
)
def test_bad_choices_are_refused(arguments, message):
    with pytest.raises(AuditError, match=message):
        Engine(**arguments)


def test_absent_devices_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "mps"):
        with pytest.raises(AuditError, match=f"device: '{device}' is not available"):
            Engine(device=device)
    assert Engine(device="auto").device.type == "cpu"


def test_threads_are_limited():
    before = torch.get_num_threads()
    try:
        limit_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(AuditError, match="threads: expected at least 1, got 0"):
        limit_threads(0)


FAULTS = """
import resource
import subprocess
import sys

import torch
from tasks.runtime.devices import keeping_freed_memory


def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    live = [torch.ones(10 << 20) for _ in range(3)]  # 40 MiB each, which malloc maps by default
    del live
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


with keeping_freed_memory():
    faults(), faults()
    print(faults())
print(faults())
"""
"""In a process of its own: what malloc does depends on all that was freed before."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_a_step_does_not_fault_its_memory_in_again():
    told = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout
    kept, after = map(int, told.split())
    half = 3 * (40 << 20) // resource.getpagesize() // 2
    assert kept < half < after  # at the end all went back
