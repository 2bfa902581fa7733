"""Architectures under their contracts, and the contracts against offenders."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from tasks.contracts import architectures as contracts
from tasks.contracts import check_architecture

SHAPE = (1, 8, 8)
SMALL = {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", SMALL),
        (
            "vit_tiny_patch16_224",
            {"img_size": 8, "patch_size": 4, "embed_dim": 12, "num_heads": 2, "depth": 2},
        ),
    ],
)
def test_timm_models_keep_the_contracts(name: str, options: dict[str, Any]) -> None:
    check_architecture(name, options, image_shape=SHAPE, num_classes=3)


class Offender(nn.Sequential):
    """Breaks one contract."""

    def __init__(self, crime: str) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))
        self.crime = crime
        if crime == "constant":
            for parameter in self.parameters():
                nn.init.ones_(parameter)
        if crime == "idle":
            self[1].register_parameter("spare", nn.Parameter(torch.ones(2)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(images)
        if self.crime == "others":
            logits = logits - logits.mean(dim=0)
        if self.crime == "noise":
            logits = logits + torch.rand(logits.shape)
        if self.crime == "double":
            logits = logits.double()
        if self.crime == "nan":
            logits = logits / 0
        return logits[:, :2] if self.crime == "classes" else logits


def make(crime: str) -> contracts.Make:
    def made(stream: str) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(len(stream) if crime == "constant" else ord(stream))
            return nn.Sequential(Offender(crime)) if crime == "one" else Offender(crime)

    return made


@pytest.mark.parametrize(
    ("crime", "contract", "message"),
    [
        ("constant", contracts.weights_follow_the_seed, "two seeds are equal"),
        ("others", contracts.logits_are_of_each_image, "depend on the others"),
        ("noise", contracts.logits_are_of_each_image, "two passes"),
        ("double", contracts.logits_are_of_each_image, "float32"),
        ("nan", contracts.logits_are_of_each_image, "not finite"),
        ("classes", contracts.logits_are_of_each_image, "expected logits"),
        ("idle", contracts.every_parameter_learns, "spare"),
        ("one", contracts.scopes_tell_layers_apart, "scope"),
    ],
)
def test_contracts_catch_bad_architectures(crime: str, contract: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        contract(make(crime), SHAPE, 3)


def test_an_honest_network_passes() -> None:
    for contract in contracts.ARCHITECTURE_CONTRACTS:
        contract(make(""), SHAPE, 3)


def test_contracts_say_where_assertions_are_off() -> None:
    ran = subprocess.run(
        [sys.executable, "-O", "-c", "import tasks.contracts"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "contracts are assertions, which python -O leaves out" in ran.stderr
