import copy

import pytest
import timm
import torch
from torch import nn

from tasks.networks import models
from tasks.training import stacked
from tasks.training.stacked import Stack, StackedLinear, Unstackable, check_stackable, fingerprint


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, groups=2, bias=False),
        nn.GroupNorm(2, 6),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),
        nn.Dropout(0.0),
        nn.Linear(5, 3, bias=False),
    )


def seeded(build, count):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [build() for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"layers": (1, 1, 1, 1), "channels": (4, 6, 8, 8)}),
        ("resnet18", {"layers": (1, 1), "channels": (4, 8), "block": timm.models.resnet.Bottleneck}),
        ("mobilenetv2_050", {}),
    ],
    ids=["basic", "bottleneck", "depthwise"],
)
def test_timm_convolutional_networks_stack(name, options):
    if "block" in options:
        options = {**options, "layers": (1, 1, 1, 1), "channels": (4, 4, 4, 4)}
    model = models.build(
        name, options, image_shape=(1, 8, 8), num_classes=3, mean=0.5, std=0.5, seed_path=("stack",)
    )
    before = copy.deepcopy(model.state_dict())
    check_stackable(model, (1, 8, 8))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_every_ruled_layer_stacks():
    check_stackable(small_cnn(), (1, 8, 8))


def test_a_multilayer_perceptron_is_a_batched_matrix_product():
    def build():
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))

    check_stackable(build(), (1, 4, 4))
    mlps = seeded(build, 5)
    stack = Stack(mlps)
    assert isinstance(stack.body[1], StackedLinear)
    images = torch.rand(7, 5, 1, 4, 4)
    expected = torch.stack([m(images[:, k]) for k, m in enumerate(mlps)], dim=1)
    torch.testing.assert_close(stack(images.flatten(1, 2)), expected)


def test_weights_go_back_where_they_came_from():
    originals = seeded(small_cnn, 3)
    copies = seeded(small_cnn, 3)[::-1]
    Stack(originals).write_back(copies)
    for original, twin in zip(originals, copies, strict=True):
        assert original.state_dict().keys() == twin.state_dict().keys()
        assert all(torch.equal(v, twin.state_dict()[k]) for k, v in original.state_dict().items())


def test_one_bad_model_is_found_and_spoils_no_other():
    cnns = seeded(small_cnn, 3)
    with torch.no_grad():
        cnns[1][0].weight[0, 0, 0, 0] = float("nan")
    stack = Stack(cnns)
    assert stack.finite().tolist() == [True, False, True]
    logits = stack(torch.rand(4, 3, 8, 8))
    assert torch.isfinite(logits).all(dim=2).all(dim=0).tolist() == [True, False, True]


class ChannelMean(nn.Module):
    """Adds the mean over channels: fine alone, mixes models in a stack."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        x = self.conv(images)
        return self.head((x - x.mean(1, keepdim=True)).mean((2, 3)))


class FunctionalDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(16, 3)

    def forward(self, images):
        return self.head(nn.functional.dropout(images.flatten(1), 0.5, training=self.training))


class OwnParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return images.flatten(1) * self.scale


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (ChannelMean, "logits: a stack differs"),
        (FunctionalDropout, "logits: a stack differs"),
        (OwnParameter, "no rule to stack a OwnParameter"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, 3)), "dropout above 0"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3)), "a LayerNorm"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Flatten()), "expected a matrix of features"),
    ],
)
def test_what_cannot_be_stacked_is_refused(build, message):
    with pytest.raises(Unstackable, match=message):
        check_stackable(build(), (1, 4, 4))


def test_transformers_are_refused():
    vit = timm.create_model(
        "vit_tiny_patch16_224", img_size=8, patch_size=4, depth=1, embed_dim=12, num_heads=2, num_classes=3
    )
    with pytest.raises(Unstackable, match="VisionTransformer"):
        check_stackable(vit, (3, 8, 8))


def test_a_wrong_rule_is_caught(monkeypatch):
    rules = {**stacked._RULES, nn.Softmax: stacked._unchanged}
    monkeypatch.setattr(stacked, "_RULES", rules)
    monkeypatch.setattr(stacked, "_checked", {})
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Softmax(dim=1))
    with pytest.raises(Unstackable, match="logits: a stack differs"):
        check_stackable(model, (1, 4, 4))


def test_models_must_be_equal_and_share_nothing():
    shared = nn.Linear(16, 16)
    tied = nn.Sequential(nn.Flatten(), shared, nn.ReLU(), nn.Linear(16, 16))
    tied[3].weight = shared.weight
    with pytest.raises(Unstackable, match="share a parameter"):
        Stack([tied])
    with pytest.raises(Unstackable, match="differ in the names, shapes"):
        Stack([nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 2))])
    with pytest.raises(Unstackable, match="differ in their layers"):
        Stack([nn.Sequential(nn.LeakyReLU(0.1)), nn.Sequential(nn.LeakyReLU(0.2))])
    hooked = nn.Sequential(nn.Linear(4, 3))
    hooked[0].register_forward_hook(lambda *_: None)
    with pytest.raises(Unstackable, match="hook"):
        Stack([hooked])


def test_the_fingerprint_sees_attributes_that_the_forward_code_reads():
    first, second = (timm.create_model("resnet18", num_classes=2) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    second.drop_rate = 0.1
    assert fingerprint(first) != fingerprint(second)


def test_frozen_parameters_stay_frozen():
    cnns = seeded(small_cnn, 2)
    for cnn in cnns:
        cnn[0].weight.requires_grad_(False)
        cnn[9].bias.requires_grad_(False)
    switches = {name: p.requires_grad for name, p in Stack(cnns).body.named_parameters()}
    assert switches == {name: p.requires_grad for name, p in cnns[0].named_parameters()}
