import copy

import numpy as np
import pytest
import timm
import torch
from torch import nn

from tasks.errors import AuditError, UnknownName
from tasks.networks.layers import layer_groups, norm_layers
from tasks.networks.models import Normalise, build
from tasks.networks.timm_options import check_name
from tasks.runtime.seeding import isolated_global_rng
from tasks.training.gradients import summed_gradient
from tasks.training.resident import ResidentData

RESIDUAL = {"layers": [1, 1, 1], "channels": [8, 16, 32], "stem_chs": 8}
TRANSFORMER = {"patch_size": 4, "embed_dim": 32, "depth": 3, "num_heads": 2}


def make(name="resnetv2_18", options=RESIDUAL, *, shape=(1, 8, 8), seed=0, num_classes=10, **more):
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


def test_normalise_uses_the_given_constants():
    images = torch.rand(2, 2, 3, 3)
    out = Normalise((0.25, 0.5), (0.5, 2.0))(images)
    expected = torch.stack([(images[:, 0] - 0.25) / 0.5, (images[:, 1] - 0.5) / 2.0], dim=1)
    torch.testing.assert_close(out, expected)


def test_equal_seed_paths_give_equal_bits_and_leave_the_global_generators_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (make(seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["body.stem.conv.weight"], other["body.stem.conv.weight"])


@pytest.mark.parametrize(("channels", "layout"), [(4, torch.contiguous_format), (8, torch.channels_last)])
def test_narrow_strided_convolutions_are_not_laid_out_as_their_backward_pass_writes_past(channels, layout):
    widths = [channels, 2 * channels, 4 * channels, 8 * channels]
    model = make("resnet18", {"layers": [1, 1, 1, 1], "channels": widths})
    weights = [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert all(weight.is_contiguous(memory_format=layout) for weight in weights)
    for _ in range(
        30
    ):  # aborts within the first ones where the layout is the other and the CPU is of that kind
        model(torch.rand(8, 1, 8, 8)).sum().backward()


def test_logits_are_float32_under_autocast():
    model = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(torch.rand(3, 1, 8, 8))
        assert model.body(torch.rand(3, 1, 8, 8)).dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert logits.shape == (3, 10)


@pytest.mark.parametrize(
    ("name", "stem", "pool"),
    [
        ("resnet18", "conv1", "maxpool"),
        ("resnet18d", "conv1.0", "maxpool"),
        ("resnetv2_18", "stem.conv", "stem.pool"),
    ],
)
@pytest.mark.parametrize(("side", "small"), [(32, True), (96, False)])
def test_residual_stems_shrink_for_small_images_only(name, stem, pool, side, small):
    body = make(name, {}, shape=(3, side, side)).body
    convolution = body.get_submodule(stem)
    assert (convolution.stride == (1, 1) and convolution.kernel_size == (3, 3)) == small
    assert isinstance(body.get_submodule(pool), nn.Identity) == small


def test_shrunken_stem_keeps_the_resolution():
    model = make("resnet18", {"layers": [1, 1, 1, 1]}, shape=(3, 16, 16))
    shapes = []
    model.body.layer1.register_forward_hook(lambda _m, _i, output: shapes.append(output.shape[-2:]))
    model(torch.rand(1, 3, 16, 16))
    assert shapes == [(16, 16)]


@pytest.mark.parametrize(("side", "patch"), [(8, 2), (32, 4), (64, 8), (224, 16)])
def test_transformer_patches_follow_the_image(side, patch):
    body = make("vit_tiny_patch16_224", {"embed_dim": 24, "depth": 1}, shape=(3, side, side)).body
    assert body.patch_embed.proj.kernel_size == (patch, patch)
    assert body.pos_embed.shape[1] == (side // patch) ** 2 + 1


def test_options_override_and_lists_become_tuples():
    model = make("vit_tiny_patch16_224", TRANSFORMER)
    assert model.body.patch_embed.proj.kernel_size == (4, 4)
    assert len(model.body.blocks) == 3
    assert make().body.stem.conv.out_channels == 8


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(UnknownName, match=r"no timm model 'resnet81'\. Did you mean 'resnet\d+"):
        make("resnet81", {})


def test_unknown_option_and_unfit_image_are_user_errors():
    with pytest.raises(AuditError, match=r"architecture 'resnet18': cannot be built .*num_layerz"):
        make("resnet18", {"num_layerz": 3})
    with pytest.raises(AuditError, match="architecture 'convnext_atto': does not take 1x8x8 images"):
        make("convnext_atto", {})
    colour = {"image_shape": (1, 8, 8), "num_classes": 2, "mean": (0.1, 0.2, 0.3), "std": 1.0}
    with pytest.raises(AuditError, match="normalisation: expected 1 or 1 numbers, got 3"):
        build("resnet18", {}, **colour, seed_path=("x",))


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        (
            "resmlp_12_224",
            {},
            r"cannot be built for 3x8x8 images .*; options are arguments .*\(img_size, patch_size",
        ),
        ("resnet18", {"drop_rate": {"a": 1}}, "architecture 'resnet18': "),
        ("resnet18", {"layers": "abc"}, "architecture 'resnet18': cannot be built"),
        ("resnet18.a1_in2k", {}, "no timm model 'resnet18.a1_in2k'. Did you mean 'resnet18.a1_in1k'?"),
    ],
)
def test_whatever_a_constructor_raises_is_a_line(name, options, told):
    with pytest.raises(AuditError, match=told) as caught:
        make(name, options, shape=(3, 8, 8))
    assert "\n" not in str(caught.value)


def test_a_model_with_weights_of_volumes_is_built():
    """Channels-last is a layout of images, and refused of anything else."""
    model = make("lambda_resnet26t", {}, shape=(3, 32, 32))
    assert any(parameter.ndim == 5 for parameter in model.parameters())
    assert model(torch.zeros(2, 3, 32, 32)).shape[0] == 2


def test_every_model_of_timm_is_known_without_importing_it():
    """Its names are read from its source, and so are former names and tags of weights."""
    for name in (*timm.list_models(), *timm.list_pretrained()[::250]):
        check_name(name)
    for name in (
        "resnet",
        "resnet81",
        "hf_hub:timm/resnet18",
        "local-dir:.",
        "",
        "resnet18.",
        "resnet18.nothing",
    ):
        with pytest.raises(UnknownName):
            check_name(name)


SMALL_BODIES = {
    "resnet18": ({}, 8),
    "resnet50": ({"layers": [1, 2, 1, 1], "channels": [16, 16, 16, 16]}, 5),
    "resnetv2_18": (RESIDUAL, 3),
    "vit_tiny_patch16_224": (TRANSFORMER, 3),
    "deit_tiny_distilled_patch16_224": ({"embed_dim": 24, "depth": 2}, 2),
    "convnext_atto": ({"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}, 5),
    "mobilenetv3_small_100": ({}, 12),
    "mixer_s16_224": ({}, 8),
}


@pytest.fixture(scope="module", params=SMALL_BODIES)
def grouped(request):
    options, blocks = SMALL_BODIES[request.param]
    model = make(request.param, options, shape=(3, 32, 32))
    return model, layer_groups(model), blocks


def test_groups_partition_the_parameters_from_stem_to_head(grouped):
    model, groups, blocks = grouped
    assert [g.name for g in groups] == ["stem", *(f"block:{i}" for i in range(blocks)), "head"]
    listed = [name for group in groups for name in group.parameter_names]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())


def test_the_head_is_the_classification_layer(grouped):
    model, groups, _ = grouped
    shapes = {tuple(model.get_parameter(name).shape) for name in groups[-1].parameter_names}
    assert {shape[0] for shape in shapes} == {10}
    assert all(len(shape) <= 2 for shape in shapes)


def test_a_convolutional_head_becomes_the_same_linear_layer():
    with isolated_global_rng("test", 0):
        theirs = timm.create_model("resnetv2_18", num_classes=10, in_chans=3)
    model = make("resnetv2_18", {}, shape=(3, 96, 96))
    assert isinstance(theirs.head.fc, nn.Conv2d)
    assert isinstance(model.body.head.fc, nn.Linear)
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(images), theirs.eval()((images - 0.5) / 0.25), atol=1e-5, rtol=1e-4)


def test_groups_follow_the_depth_of_the_forward_pass(grouped):
    model, groups, _ = grouped
    order: list[str] = []
    owner = {module: group.name for group in groups for module in group.module_names}
    handles = [
        module.register_forward_hook(lambda _m, _i, _o, name=name: order.append(owner[name]))
        for name, module in model.named_modules()
        if name in owner and not list(module.children())
    ]
    model(torch.rand(1, 3, 32, 32))
    for handle in handles:
        handle.remove()
    visited = list(dict.fromkeys(order))
    assert visited == [g.name for g in groups if g.name in visited]
    assert [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name] == visited


def test_groups_of_a_plain_module_are_its_children():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.Linear(3, 2))
    assert [(g.name, g.parameter_names) for g in layer_groups(model)] == [
        ("block:0", ("0.weight", "0.bias")),
        ("block:1", ("2.weight", "2.bias")),
        ("head", ("3.weight", "3.bias")),
    ]


@pytest.mark.parametrize(
    ("name", "options", "kind", "count"),
    [
        ("resnet18", {}, nn.BatchNorm2d, 20),
        ("resnetv2_18", RESIDUAL, nn.BatchNorm2d, 7),
        ("vit_tiny_patch16_224", TRANSFORMER, nn.LayerNorm, 7),
        ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}, nn.LayerNorm, 9),
    ],
)
def test_norm_layers_are_all_found(name, options, kind, count):
    found = norm_layers(make(name, options, shape=(3, 32, 32)))
    assert len(found) == count
    assert all(isinstance(module, kind) for _, module in found)


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(timm.models._builder, "load_pretrained", refuse)
    make("resnet18.a1_in1k", {"layers": [1, 1, 1, 1]})


def test_attention_biases_are_those_of_the_present_parameters():
    shape = {"embed_dim": [8, 8, 8], "key_dim": 4, "num_heads": [1, 1, 1], "depth": [1, 1, 1]}
    model = build(
        "levit_128s", shape, image_shape=(1, 32, 32), num_classes=3, mean=0.5, std=0.25, seed_path=("levit",)
    )
    images = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    data = ResidentData.put(images.numpy(), np.arange(6) % 3, 3, torch.device("cpu"))
    with torch.no_grad():
        before = model(images)
        for name, parameter in model.named_parameters():
            parameter.add_(
                1.0 + torch.arange(parameter.numel()).view_as(parameter) if "biases" in name else 0.0
            )
        assert not torch.allclose(model(images), before)
    whole = summed_gradient(model, data.subset(np.arange(6)))
    parts = summed_gradient(model, data.subset(np.arange(6)), batch_size=2)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-4)
    copy.deepcopy(model)
