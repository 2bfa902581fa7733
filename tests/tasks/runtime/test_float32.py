"""Full float32 whatever the program around has asked for, and TF32 in training alone and by name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tasks.errors import AuditError
from tasks.runtime import devices
from tasks.runtime.devices import Engine
from tasks.runtime.float32 import keeping_float32
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.scoring import score
from tasks.training.train import train


def precisions() -> list[str]:
    """What torch would compute float32 products and convolutions in; it raises where its switches disagree."""
    backends = torch.backends
    older = torch.get_float32_matmul_precision(), torch._C._get_cublas_allow_tf32(), backends.cudnn.allow_tf32
    places = backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn
    onednn = backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn
    return [*map(str, older), *(place.fp32_precision for place in (*places, *onednn))]


FULL = ["highest", "False", "False", *["ieee"] * 6]


def matmul_medium() -> None:
    torch.set_float32_matmul_precision("medium")


def older_switches() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def for_all() -> None:
    torch.backends.fp32_precision = "tf32"


def both_kinds() -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.mkldnn.conv.fp32_precision = "bf16"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with keeping_float32():
        yield
        torch.backends.fp32_precision = "none"


@pytest.mark.parametrize("asked", [lambda: None, matmul_medium, older_switches, for_all, both_kinds])
def test_an_engine_computes_in_full_float32(asked) -> None:
    asked()
    Engine(device="cpu")
    assert precisions() == FULL


@pytest.mark.parametrize("asked", [matmul_medium, older_switches, for_all])
def test_what_the_process_had_is_put_back(asked) -> None:
    asked()
    before = [torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision]
    with keeping_float32():
        Engine(device="cpu")
    assert [torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision] == before


class Watched(nn.Module):
    """A linear model that notes the precision of convolutions at each forward and backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.seen: list[tuple[str, str]] = []

    def forward(self, images: Tensor) -> Tensor:
        def note(direction: str) -> None:
            self.seen.append((direction, torch.backends.cudnn.conv.fp32_precision))

        note("training" if self.training else "scoring")
        logits = self.linear(images.flatten(1))
        if logits.requires_grad:
            logits.register_hook(lambda gradient: note("backward"))
        return logits


def test_tf32_is_of_training_alone(monkeypatch) -> None:
    monkeypatch.setattr(devices, "_check_precision", lambda precision, device: None)
    engine = Engine(device="cpu", precision="tf32")
    assert precisions() == FULL
    images = np.random.default_rng(0).random((8, 1, 2, 2)).astype(np.float32)
    subset = ResidentData.put(images, np.arange(8) % 2, 2, engine.device).subset(np.arange(8))
    model = Watched()
    train(model, subset, Recipe(epochs=1, batch_size=8), seed_path=("a",), engine=engine)
    score(model, subset)
    assert model.seen == [("training", "tf32"), ("backward", "tf32"), ("scoring", "ieee")]
    assert precisions() == FULL


def test_a_device_without_the_precision_is_told(monkeypatch) -> None:
    with pytest.raises(
        AuditError, match=r"precision: tf32 needs an NVIDIA GPU from Ampere on, got cpu; use no"
    ):
        Engine(device="cpu", precision="tf32")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(AuditError, match="got Tesla T4; use no"):
        devices._check_precision("tf32", torch.device("cuda"))
    with pytest.raises(
        AuditError, match="bf16 needs an NVIDIA GPU from Ampere on, got Tesla T4; use fp16 or no"
    ):
        devices._check_precision("bf16", torch.device("cuda"))
    devices._check_precision("fp16", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    for precision in ("tf32", "bf16"):
        devices._check_precision(precision, torch.device("cuda"))
