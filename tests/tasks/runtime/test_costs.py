import time

import pytest
import torch

from tasks.runtime import costs
from tasks.runtime.costs import measure

CPU = torch.device("cpu")


def test_waiting_costs_wall_time_but_no_device_time():
    with measure(CPU) as cost:
        time.sleep(0.2)
    assert cost.seconds >= 0.2
    assert cost.device_seconds < 0.1


def test_computing_costs_device_time():
    with measure(CPU) as cost:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
    assert cost.device_seconds >= 0.1


def test_a_block_that_raises_is_still_measured():
    with pytest.raises(ZeroDivisionError), measure(CPU) as cost:
        _ = 1 / 0
    assert cost.seconds > 0
    assert cost.peak_bytes > 0


def test_peak_is_that_of_the_block_not_of_the_process():
    size = 200 * 2**20
    with measure(CPU) as large:
        block = torch.ones(size, dtype=torch.uint8)
    del block
    with measure(CPU) as small:
        pass
    with measure(CPU) as again:
        block = torch.ones(size, dtype=torch.uint8)
    assert large.peak_bytes - small.peak_bytes > 0.8 * size
    assert again.peak_bytes - small.peak_bytes > 0.8 * size
    del block


def test_a_stage_within_another_counts_once():
    def work(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    with measure(CPU) as outer:
        work(0.05)
        with measure(CPU) as inner:
            work(0.2)
            with measure(CPU) as innermost:
                block = torch.ones(100 * 2**20, dtype=torch.uint8)
                work(0.3)
                del block
    assert 0.05 <= outer.device_seconds < 0.15
    assert 0.2 <= inner.device_seconds < 0.3 <= innermost.device_seconds
    assert outer.seconds < inner.seconds < innermost.seconds
    assert innermost.peak_bytes - outer.peak_bytes > 80 * 2**20


def test_without_proc_the_peak_is_that_of_the_process(monkeypatch):
    monkeypatch.setattr(costs, "Path", lambda _path: Missing())
    with measure(CPU) as cost:
        pass
    assert cost.peak_bytes > 10 * 2**20


class Missing:
    """A file that is not there."""

    def read_text(self):
        raise FileNotFoundError

    def write_text(self, _text):
        raise FileNotFoundError


class Gpu:
    """What torch answers of the memory of a GPU that allocates by hand."""

    def __init__(self, monkeypatch):
        self.held = self.most = 0
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self._reset)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.most)

    def _reset(self, device):
        self.most = self.held

    def allocate(self, size):
        self.held += size
        self.most = max(self.most, self.held)


def test_the_peak_of_a_gpu_is_that_of_each_block_before_and_after_what_is_nested(monkeypatch):
    gpu, device = Gpu(monkeypatch), torch.device("cuda")
    with measure(device) as outer:
        gpu.allocate(900)
        gpu.allocate(-400)
        with measure(device) as inner:
            gpu.allocate(510)
            gpu.allocate(-510)
    assert (outer.peak_bytes, inner.peak_bytes) == (900, 1010)
    with measure(device) as outer:
        with measure(device) as inner:
            gpu.allocate(10)
        gpu.allocate(200)
    assert (outer.peak_bytes, inner.peak_bytes) == (710, 510)


def test_processes_that_share_a_gpu_divide_its_time(monkeypatch):
    Gpu(monkeypatch)
    with measure(torch.device("cuda"), share=0.25) as outer:
        time.sleep(0.2)
        with measure(torch.device("cuda"), share=0.25) as inner:
            time.sleep(0.1)
    assert outer.seconds > 0.2
    assert outer.device_seconds == pytest.approx(outer.seconds / 4)
    assert inner.device_seconds == pytest.approx(inner.seconds / 4)
    with measure(CPU, share=0.25) as cost:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
    assert cost.device_seconds >= 0.2
