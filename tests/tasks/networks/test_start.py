"""Weights that training starts from: what is loaded, what is newly initialised, and what an unfit file is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from timm.models import model_entrypoint
from timm.models.resnet import ResNet
from timm.models.resnetv2 import ResNetV2
from torch import nn

from tasks.errors import AuditError
from tasks.networks import timm_options
from tasks.networks.models import build
from tasks.networks.start import classifier_names, start_from
from tasks.networks.timm_options import LOADING, check_options, is_residual, told_of
from tasks.networks.weight_files import weight_file

RESIDUAL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}


def make(name="resnet18", options=RESIDUAL, *, shape=(3, 32, 32), seed=0, num_classes=10, **more):
    return build(
        name,
        options,
        image_shape=shape,
        num_classes=num_classes,
        mean=0.5,
        std=0.25,
        seed_path=("test", seed),
        **more,
    )


def saved(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    path = folder / "start.safetensors"
    safetensors.torch.save_file({k: v.contiguous().clone() for k, v in state.items()}, path)
    return path


@pytest.fixture
def theirs() -> nn.Module:
    """A model that timm made, with its own stem and 4 classes."""
    torch.manual_seed(3)
    return timm.create_model("resnet18", num_classes=4, **RESIDUAL)


def test_training_starts_from_the_file_but_for_a_head_of_other_classes(theirs, tmp_path):
    path = saved(tmp_path, theirs.state_dict())
    same = make(num_classes=4, seed=1, weights=path)
    assert all(torch.equal(v, same.body.state_dict()[k]) for k, v in theirs.state_dict().items())
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(same(images), theirs.eval()((images - 0.5) / 0.25))
    assert same.told[0].startswith("every weight is that of the file")
    first, again, other = (make(seed=seed, weights=path) for seed in (1, 1, 2))
    for name, value in first.body.state_dict().items():
        if name.startswith("fc."):
            assert torch.equal(value, again.body.state_dict()[name])
        else:
            assert torch.equal(value, theirs.state_dict()[name])
            assert torch.equal(value, other.body.state_dict()[name])
    assert not torch.equal(first.body.fc.weight, other.body.fc.weight)
    assert first.told == (
        "the classification layer ('fc.weight') is newly initialised by each seed for 10 classes: that of the file "
        "has 4 classes",
    )
    headless = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    assert make(weights=saved(tmp_path, headless)).told[0].endswith("for 10 classes: the file has none")


def test_half_a_head_is_no_head(theirs, tmp_path):
    """The bias of the file would be that of other features."""
    state = {k: v for k, v in theirs.state_dict().items() if k != "fc.weight"} | {
        "fc.bias": torch.full((4,), 9.0)
    }
    assert make(num_classes=4, weights=saved(tmp_path, state)).body.fc.bias.abs().max() < 9


def test_float16_becomes_float32(theirs, tmp_path):
    state = {k: v.half() if v.is_floating_point() else v for k, v in theirs.state_dict().items()}
    model = make(num_classes=4, weights=saved(tmp_path, state))
    assert model.body.conv1.weight.dtype == torch.float32
    assert torch.equal(model.body.conv1.weight, state["conv1.weight"].float())
    assert model.told[1] == "float16 of the file becomes float32"


def without(state, name):
    return {k: v for k, v in state.items() if k != name}


FAULTS = {
    "missing": (
        lambda s: without(s, "conv1.weight"),
        "'conv1.weight' is missing; expected the weights of this arch",
    ),
    "extra": (
        lambda s: s | {"x.y": torch.ones(1), "x.z": torch.ones(1)},
        r"'x\.y' is not part .* \(and 1 more\)",
    ),
    "wrapped": (
        lambda s: {f"module.{k}": v for k, v in s.items()},
        r"every name begins with 'module\.'; expected names as 'bn1\.bias'",
    ),
    "another stem": (
        lambda s: s | {"conv1.weight": torch.ones(8, 3, 3, 3)},
        "'conv1.weight' is of another shape: 8x3x3x3 in the file, 64x3x7x7 here; .*stem",
    ),
    "not finite": (
        lambda s: s | {"bn1.bias": torch.full((64,), torch.nan)},
        "'bn1.bias': expected finite numbers",
    ),
    "negative variance": (
        lambda s: s | {"bn1.running_var": torch.full((64,), -1e-3)},
        "'bn1.running_var': expected a variance, which is never negative, got -0.001",
    ),
    "quantised": (
        lambda s: s | {"bn1.bias": torch.ones(64, dtype=torch.int8)},
        r"'bn1\.bias': expected torch\.float32, got torch\.int8",
    ),
    "empty": (lambda s: {}, r"'bn1\.bias' is missing \(and "),
}


@pytest.mark.parametrize(("change", "told"), FAULTS.values(), ids=FAULTS)
def test_a_file_that_does_not_fit_is_one_line(change, told, theirs, tmp_path):
    with pytest.raises(AuditError, match=f"weights: .*start.safetensors: {told}"):
        make(num_classes=4, weights=saved(tmp_path, change(theirs.state_dict())))


def test_a_damaged_file_is_named(theirs, tmp_path):
    path = saved(tmp_path, theirs.state_dict())
    for damaged in (path.read_bytes()[:-40], b"\xff" * 40, b""):
        path.write_bytes(damaged)
        with pytest.raises(AuditError, match=r"weights: cannot read '.*start.safetensors'"):
            make(num_classes=4, weights=path)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.bin", "a.ckpt"])
def test_pickles_are_not_opened(name, tmp_path):
    (tmp_path / name).write_bytes(b"cos\nsystem\n.")
    with pytest.raises(AuditError, match=r"is a pickle, which may run code; expected FILE.safetensors"):
        weight_file(str(tmp_path / name))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "model.safetensors.index.json").touch()
    (tmp_path / "a.txt").touch()
    for name, told in {
        "model.safetensors.index.json": "an index of shards",
        "": "is a folder",
        "b.safetensors": "no file",
        "a.txt": "expected FILE.safetensors",
    }.items():
        with pytest.raises(AuditError, match=told):
            weight_file(str(tmp_path / name))


@pytest.mark.parametrize(
    ("stem", "side", "weights", "kernel"),
    [
        ("auto", 32, False, 3),
        ("auto", 96, False, 7),
        ("auto", 32, True, 7),
        ("timm", 32, False, 7),
        ("small", 96, False, 3),
    ],
)
def test_the_stem_can_be_chosen(stem, side, weights, kernel, theirs, tmp_path):
    path = saved(tmp_path, theirs.state_dict()) if weights else None
    body = make(shape=(3, side, side), stem=stem, weights=path).body
    assert body.conv1.kernel_size == (kernel, kernel)
    assert isinstance(body.maxpool, nn.Identity) == (kernel == 3)
    told = told_of("resnet18", {}, stem, (side, side), weights=weights)
    assert any(line.startswith("stem: its first convolution is 3x3") for line in told) == (kernel == 3)


@pytest.mark.parametrize(("stem", "patch"), [("auto", 4), ("timm", 16)])
def test_patches_can_be_chosen(stem, patch):
    options = {"embed_dim": 24, "depth": 1, "num_heads": 2}
    body = make("vit_tiny_patch16_224", options, stem=stem).body
    assert body.patch_embed.proj.kernel_size == (patch, patch)
    told = told_of("vit_tiny_patch16_224", options, stem, (32, 32), weights=False)
    assert told == (
        ()
        if patch == 16
        else ('stem: images are cut into patches of 4 pixels, for small images; stem = "timm" keeps timm\'s',)
    )
    assert not told_of("vit_tiny_patch16_224", {"patch_size": 8}, stem, (32, 32), weights=False)


def test_residual_models_are_known_without_timm():
    """Told apart by their source; held against what timm registers and what it makes."""
    modules = {f"timm.models.{name}" for name in timm_options._RESIDUAL}
    for name in timm.list_models():
        assert is_residual(name) == (model_entrypoint(name).__module__ in modules), name
    small = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}
    for name in ("resnet18", "seresnet18", "res2net50_26w_4s", "resnest14d", "skresnet18"):
        options = small if name in ("resnet18", "seresnet18", "skresnet18") else {}
        with torch.device("meta"):
            assert isinstance(timm.create_model(name, **options), (ResNet, ResNetV2)), name


def test_a_tag_names_weights_that_are_not_loaded():
    told = told_of("resnet18.a1_in1k", {}, "timm", (32, 32), weights=False)
    assert told[0].startswith("timm: 'a1_in1k' names published weights, which are not loaded; weights =")
    assert not told_of("resnet18.a1_in1k", {}, "timm", (32, 32), weights=True)


def test_options_by_which_timm_loads_are_refused():
    for name in LOADING:
        with pytest.raises(AuditError, match=rf'options\.{name}: expected none: .*weights = "FILE'):
            check_options({name: True})
    for name in ("num_classes", "in_chans"):
        with pytest.raises(AuditError, match=f"{name}: expected none: there are as many as"):
            check_options({name: 3})


def test_the_head_of_a_plain_module_is_its_last_child_with_parameters(tmp_path):
    made = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Identity())
    assert classifier_names(made) == ("3",)
    other = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 5), nn.Identity())
    told = start_from(made, saved(tmp_path, other.state_dict()))
    assert torch.equal(made[1].weight, other[1].weight)
    assert told[0].endswith("for 2 classes: that of the file has 5 classes")
