"""Operators that CUDA refuses are found wherever a model calls them, and without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orchestrator.bench.check import check_models
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError
from tasks.networks.determinism import refused_on_cuda
from tests.support.sweeps import write_config


class Calls(nn.Module):
    """A convolution, a function and a pool."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.convolution, self.function = nn.Conv2d(1, 4, 3), function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.convolution(images)).mean((2, 3))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (nn.ReflectionPad2d(1), ["reflection_pad2d_backward"]),
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), ["reflection_pad2d_backward"]),
        (nn.AdaptiveAvgPool2d(4), ["_adaptive_avg_pool2d_backward"]),
        (nn.AdaptiveAvgPool2d(1), []),  # a mean
        (nn.AdaptiveMaxPool2d(4), ["adaptive_max_pool2d_backward"]),
        (nn.Upsample(scale_factor=2, mode="bicubic"), ["upsample_bicubic2d_backward"]),
        (nn.Upsample(scale_factor=2, mode="bilinear"), []),  # torch has another way in this mode
        (nn.MaxPool2d(2), []),
        (lambda x: x if x.sum() > 0 else -x, []),  # looks at numbers, of which the copy has none
    ],
)
def test_what_cuda_refuses_is_found(function: Callable[[Tensor], Tensor], expected: list[str]) -> None:
    model = Calls(function)
    before = torch.are_deterministic_algorithms_enabled()
    assert refused_on_cuda(model, (1, 8, 8)) == expected
    assert torch.are_deterministic_algorithms_enabled() == before
    assert model.convolution.weight.device.type == "cpu"
    assert model.convolution.weight.grad is None


def test_such_an_architecture_is_refused_before_any_work_and_on_cuda_alone(tmp_path: Path) -> None:
    text = {'timm = "resnet18"': 'timm = "resnetblur18"', ", channels = [4, 4, 4, 4]": ""}
    path = str(write_config(tmp_path, **text))
    plans = [make_plan(load(path, {"execution.device": name})) for name in ("cpu", "cuda")]
    check_models(plans[0])
    with pytest.raises(
        AuditError, match=r"architecture 'net': no deterministic form on CUDA of reflection_pad2d_backward"
    ):
        check_models(plans[1])
