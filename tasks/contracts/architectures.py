"""What every architecture must hold to: logits of each image alone, layers that scopes can tell apart, equal bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tasks.contracts.small import global_random_state, same_bits
from tasks.networks.layers import layer_groups
from tasks.networks.models import build
from tasks.networks.scopes import bind
from tasks.runtime.seeding import torch_generator

IMAGES = 6
SLACK = 1e-4
"""By which an image's logits may differ in another batch: sums of other lengths are rounded otherwise."""
Make = Callable[[str], nn.Module]
"""A new model, from the name of a random stream."""


def weights_follow_the_seed(make: Make, image_shape: tuple[int, ...], num_classes: int) -> None:
    """Equal streams give equal bits, others others, and the global generators stay as they were."""
    before = global_random_state()
    first, again, other = (list(make(stream).state_dict().values()) for stream in ("a", "a", "b"))
    assert global_random_state() == before, "it touched the global random state"
    assert all(map(same_bits, first, again)), "two models of one seed differ"
    assert not all(map(same_bits, first, other)), (
        "models of two seeds are equal: weights are not drawn at random"
    )


def logits_are_of_each_image(make: Make, image_shape: tuple[int, ...], num_classes: int) -> None:
    """Finite float32 logits, `n x K`; in eval mode none depends on other images, and two passes agree."""
    model, images = make("a").eval(), _images(image_shape)
    with torch.no_grad():
        logits, again, alone = model(images), model(images), model(images[2:3])
    assert logits.shape == (IMAGES, num_classes), (
        f"expected logits {(IMAGES, num_classes)}, got {tuple(logits.shape)}"
    )
    assert logits.dtype == torch.float32, f"expected float32 logits, got {logits.dtype}"
    assert bool(logits.isfinite().all()), "logits are not finite"
    assert same_bits(logits, again), "two passes in eval mode differ"
    assert torch.allclose(logits[2:3], alone, atol=SLACK), (
        "in eval mode an image's logits depend on the others"
    )


def every_parameter_learns(make: Make, image_shape: tuple[int, ...], num_classes: int) -> None:
    """A loss on training images gives every parameter a gradient."""
    model = make("a").train()
    model(_images(image_shape)).logsumexp(dim=1).sum().backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not idle, f"parameters that no output depends on: {idle}"


def scopes_tell_layers_apart(make: Make, image_shape: tuple[int, ...], num_classes: int) -> None:
    """Each parameter is of one layer, and the last layer, the head, is not the whole model."""
    model = make("a")
    groups = layer_groups(model)
    assert len(groups) > 1, "scopes see one layer: expected children, the last of which is the head"
    everything, head = (bind(scope, model).movable for scope in ("all", "head"))
    assert head < everything, "scope 'head' holds the whole model: expected a head of its own as last child"


def _images(image_shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(IMAGES, *image_shape, generator=torch_generator("contracts", "architecture"))


ARCHITECTURE_CONTRACTS = (
    weights_follow_the_seed,
    logits_are_of_each_image,
    every_parameter_learns,
    scopes_tell_layers_apart,
)


def check_architecture(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    image_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
) -> None:
    """Run every contract of architectures of images.

    Args:
        name: by which timm knows it.
        options: as in `[architectures.NAME]`.
        image_shape: channels, height, width.
        num_classes: logits.

    Raises:
        AssertionError: a contract is broken.
        AuditError: there is no such model, or it does not take such images.
    """

    def make(stream: str) -> nn.Module:
        return build(
            name,
            dict(options or {}),
            image_shape=image_shape,
            num_classes=num_classes,
            mean=0.5,
            std=0.25,
            seed_path=("contracts", "architecture", stream),
        )

    for contract in ARCHITECTURE_CONTRACTS:
        contract(make, image_shape, num_classes)
