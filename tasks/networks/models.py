"""Architectures: any timm model behind a fixed normalisation, from pixels in [0, 1] to float32 logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.classifier import ClassifierHead
from timm.layers.config import set_fused_attn
from timm.models.resnet import ResNet
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn

from tasks.errors import AuditError
from tasks.networks.start import start_from
from tasks.networks.timm_options import Stem, check_name, check_options, is_small, small_patch
from tasks.plugged import told
from tasks.runtime.seeding import isolated_global_rng


class Normalise(nn.Module):
    """Subtract a constant mean and divide by a constant standard deviation, per channel.

    The constants are given, never computed from the data: statistics of the training set would carry
    information on its members into every model.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(tuple(mean)).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(tuple(std)).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise `n x C x H x W` images in [0, 1]."""
        return (images - self.mean) / self.std


class Classifier(nn.Module):
    """Images in [0, 1], `n x C x H x W`, to logits, `n x K`, float32 whatever the precision of the body."""

    def __init__(self, body: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.body = body
        self.told: tuple[str, ...] = ()
        """What a plan says of the weights that it started from."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits of `images`."""
        return self.body(self.normalise(images)).float()


def build(
    timm_name: str,
    options: Mapping[str, Any],
    *,
    image_shape: tuple[int, ...],
    num_classes: int,
    mean: Sequence[float] | float,
    std: Sequence[float] | float,
    seed_path: tuple[str | int, ...],
    weights: Path | None = None,
    stem: Stem = "auto",
) -> Classifier:
    """Make a newly initialised classifier; nothing is downloaded.

    For images up to 64 pixels, unless it starts from weights, residual networks get a 3x3 stem of stride 1 without
    pooling (He et al. 2016, section 4.2), and transformers a patch of at most one eighth of the side, but 2 pixels.
    A classification layer that timm writes as a 1x1 convolution over pooled features becomes the same linear
    layer. Convolution weights are laid out channels-last, the faster layout on CPU and GPU, where that is safe.

    Args:
        timm_name: any name of `timm.list_models()`.
        options: arguments of the timm model; lists are taken as tuples, and they override the above.
        image_shape: channels, height, width.
        num_classes: number of logits.
        mean: constant per channel, or one for all channels, in units of pixels in [0, 1].
        std: likewise.
        seed_path: equal paths give equal bits; the global generators are left as they were.
        weights: safetensors file with timm's parameter names to start from instead; the classification
            layer is left newly initialised where its shape differs.
        stem: small does the above whatever the images and weights are, timm never.

    Raises:
        AuditError: the name is unknown, or the options or the image shape do not fit the architecture.
    """
    channels, height, width = image_shape
    check_name(timm_name)
    check_options(options)
    small = is_small(stem, (height, width), weights=weights is not None)
    arguments = _adapt(timm_name, _tuples(options), (height, width), small=small)
    set_fused_attn(True)  # timm takes it from the environment
    with isolated_global_rng(*seed_path):
        try:
            body = timm.create_model(
                timm_name, pretrained=False, num_classes=num_classes, in_chans=channels, **arguments
            )
        except Exception as error:  # constructors of a thousand models, and of plug-ins, raise anything
            size = f"{channels}x{height}x{width}"
            raise AuditError(
                f"architecture '{timm_name}': cannot be built for {size} images with {arguments}: {told(error)}; "
                "options are arguments of its constructor (img_size, patch_size, ...)"
            ) from error
        if isinstance(body, (ResNet, ResNetV2)) and small:
            _shrink_stem(body)
        _make_head_linear(body)
        _keep_no_biases(body)
    model = Classifier(body, mean=_per_channel(mean, channels), std=_per_channel(std, channels))
    if weights is not None:
        model.told = start_from(body, weights)
    model = model.to(memory_format=_layout(body)).eval()
    _check_shapes(timm_name, model, image_shape, num_classes)
    return model


def _layout(body: nn.Module) -> torch.memory_format:
    """Channels-last, unless a strided 1x1 convolution reads fewer than eight channels, or one is of volumes.

    Its backward pass in that layout writes past its memory: oneDNN of torch 2.11 and 2.14 on CPUs with AVX2 and no
    AVX-512 (seen with 3, 4, 6 and 7 channels of 1x1, not with 8 to 20, 2x2 or 3x3, groups, or the other layout).
    """
    harmful = any(
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and max(layer.stride) > 1
        and layer.in_channels < 8
        for layer in body.modules()
    )
    of_volumes = any(parameter.ndim == 5 for parameter in body.parameters())  # which that layout is not for
    return torch.contiguous_format if harmful or of_volumes else torch.channels_last


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _tuples(v) for k, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _per_channel(value: Sequence[float] | float, channels: int) -> tuple[float, ...]:
    values = (float(value),) * channels if isinstance(value, (int, float)) else tuple(map(float, value))
    if len(values) == 1:
        values *= channels
    if len(values) != channels:
        raise AuditError(f"normalisation: expected 1 or {channels} numbers, got {len(values)}")
    return values


def _adapt(timm_name: str, options: dict[str, Any], size: tuple[int, int], *, small: bool) -> dict[str, Any]:
    """Options with the image size and a patch that fits it, for models that are built for one size."""
    config = timm.get_pretrained_cfg(timm_name)
    if config is None or not config.fixed_input_size:
        return options
    defaults: dict[str, Any] = {"img_size": size}
    patch = small_patch(timm_name, size) if small else None
    if patch is not None:
        defaults["patch_size"] = patch
    return {**defaults, **options}


def _shrink_stem(body: ResNet | ResNetV2) -> None:
    """A first convolution of 3x3 and stride 1, and no pooling before the first block."""
    stem = body if isinstance(body, ResNet) else body.stem
    name = "conv1" if hasattr(stem, "conv1") else "conv"
    first = getattr(stem, name)
    if isinstance(first, nn.Sequential):
        stem, name, first = first, "0", first[0]
    small = type(first)(
        first.in_channels, first.out_channels, kernel_size=3, padding=1, bias=first.bias is not None
    )
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
    setattr(stem, name, small)
    owner = body if isinstance(body, ResNet) else body.stem
    for pooling in ("maxpool", "pad", "pool"):
        if hasattr(owner, pooling):
            owner.add_module(pooling, nn.Identity())


def _keep_no_biases(body: nn.Module) -> None:
    """Have levit, efficientformer, efficientvit_msra and tiny_vit look their attention biases up each time.

    In eval mode timm keeps what the first call looked up: later ones would see those biases whatever the parameters are
    by then, such as those handed to `torch.func.functional_call`, and gradients of a graph that is gone.
    """
    for module in body.modules():
        if hasattr(module, "attention_bias_cache"):
            module.register_forward_hook(_forget_biases, always_call=True)


def _forget_biases(module: nn.Module, _inputs: object, _output: object) -> None:
    module.attention_bias_cache = {}  # type: ignore[assignment]


def _make_head_linear(body: nn.Module) -> None:
    old = getattr(body, "head", None)
    if not (isinstance(old, ClassifierHead) and isinstance(old.fc, nn.Conv2d)):
        return
    new = ClassifierHead(
        old.in_features, old.fc.out_channels, old.global_pool.pool_type, drop_rate=old.drop.p
    )
    new.fc.load_state_dict({"weight": old.fc.weight.flatten(1), "bias": old.fc.bias})
    body.head = new


def _check_shapes(timm_name: str, model: Classifier, image_shape: tuple[int, ...], num_classes: int) -> None:
    try:
        with torch.no_grad():
            logits = model(torch.zeros(1, *image_shape))
    except Exception as error:  # as above
        size = "x".join(map(str, image_shape))
        raise AuditError(f"architecture '{timm_name}': does not take {size} images: {told(error)}") from error
    if logits.shape != (1, num_classes):
        raise AuditError(
            f"architecture '{timm_name}': expected {num_classes} logits, got shape {tuple(logits.shape)}"
        )
