"""Weights of finished models: every tensor is the file's, and an unfit file is told which tensor is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from tasks.errors import AuditError
from tasks.networks.finished import load_finished
from tasks.networks.models import Classifier, build

State = dict[str, Tensor]


def make(seed: int = 0, *, num_classes: int = 3) -> Classifier:
    return build(
        "resnet18",
        {"layers": [1, 1, 1, 1], "channels": [4, 4, 4, 4]},
        image_shape=(1, 8, 8),
        num_classes=num_classes,
        mean=0.5,
        std=0.25,
        seed_path=("finished", seed),
    )


def state(seed: int = 1) -> State:
    found = {name: tensor.clone() for name, tensor in make(seed).body.state_dict().items()}
    found["bn1.running_mean"] += seed  # of a new model these are all alike
    found["bn1.num_batches_tracked"] += seed
    return found


def saved(folder: Path, tensors: State) -> Path:
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


def test_every_tensor_is_the_files_the_head_and_buffers_too(tmp_path: Path) -> None:
    model, given = make(), state()
    assert load_finished(model, saved(tmp_path, given)) == ()
    assert all(torch.equal(tensor, given[name]) for name, tensor in model.body.state_dict().items())


def test_lethes_own_names_are_read_with_the_same_normalisation_alone(tmp_path: Path) -> None:
    model, other = make(), make(1)
    path = saved(tmp_path, other.state_dict())
    load_finished(model, path)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in model.state_dict().items())
    path = saved(tmp_path, other.state_dict() | {"normalise.std": torch.full((1, 1, 1), 0.5)})
    with pytest.raises(AuditError, match=r"'normalise.std' is \[0.5\]; expected data.std, which is \[0.25\]"):
        load_finished(model, path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_it_is_said(dtype: torch.dtype, tmp_path: Path) -> None:
    given = {name: v.to(dtype) if v.is_floating_point() else v for name, v in state().items()}
    model = make()
    told = load_finished(model, saved(tmp_path, given))
    assert told == (f"{str(dtype).removeprefix('torch.')} of the file becomes float32",)
    assert torch.equal(model.body.state_dict()["conv1.weight"], given["conv1.weight"].float())


def renamed(found: State) -> State:
    return {name.replace("layer1", "stage1"): tensor for name, tensor in found.items()}


def with_nan(found: State) -> State:
    found["fc.bias"][1] = float("nan")
    return found


UNFIT: dict[str, tuple[Callable[[State], State], str]] = {
    "missing": (lambda s: {k: v for k, v in s.items() if k != "fc.bias"}, "'fc.bias' is missing"),
    "head missing": (
        lambda s: {k: v for k, v in s.items() if "fc" not in k},
        r"'fc.bias' is missing \(and 1 more\)",
    ),
    "further": (lambda s: s | {"extra": torch.zeros(2)}, "'extra' is not part of this architecture"),
    "renamed": (renamed, r"'layer1\..*' is missing"),
    "other head": (
        lambda s: s | {"fc.weight": torch.zeros(7, 4), "fc.bias": torch.zeros(7)},
        r"'fc.bias' is of another shape \(and 1 more\): 7 in the file, 3 here; .* classes",
    ),
    "prefix": (lambda s: {f"module.{k}": v for k, v in s.items()}, "begins with 'module.'"),
    "not finite": (with_nan, "'fc.bias': expected finite numbers"),
    "integers": (
        lambda s: s | {"fc.bias": torch.zeros(3, dtype=torch.int64)},
        "'fc.bias': expected torch.float32",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_file_is_refused_and_changes_nothing(case: str, tmp_path: Path) -> None:
    change, told = UNFIT[case]
    model = make()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(AuditError, match=told):
        load_finished(model, saved(tmp_path, change(state())))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
