"""Switch a model's train and eval modes for a while, and put every module back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode inside the block; afterwards each module has the mode it had."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """No gradients for the parameters inside the block; afterwards each has the switch it had.

    Attacks differentiate with respect to pixels; without this they also fill every `parameter.grad`.
    """
    switches = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        yield model
    finally:
        for parameter, required in switches:
            parameter.requires_grad_(required)


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[nn.Module]:
    """Batch norms in eval mode inside the block: for a batch of one example, which has no statistics."""
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer.eval()
    try:
        yield model
    finally:
        for layer, training in zip(layers, modes, strict=True):
            layer.train(training)
