"""The parts of a model that layer scopes and the fairness gap name: groups from stem to head, norm layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from timm.layers.evo_norm import (
    EvoNorm2dB0,
    EvoNorm2dB1,
    EvoNorm2dB2,
    EvoNorm2dS0,
    EvoNorm2dS1,
    EvoNorm2dS2,
)
from timm.layers.filter_response_norm import FilterResponseNormAct2d, FilterResponseNormTlu2d
from timm.layers.norm import RmsNorm, RmsNorm2d, SimpleNorm, SimpleNorm2d
from timm.layers.norm_act import FrozenBatchNormAct2d
from timm.models import group_parameters
from torch import nn

from tasks.networks.models import Classifier
from tasks.networks.start import classifier_names

EVO_BATCH_NORMS = (EvoNorm2dB0, EvoNorm2dB1, EvoNorm2dB2)
"""Divide by the batch's standard deviation, or another, in one with an activation."""
EVO_GROUP_NORMS = (EvoNorm2dS0, EvoNorm2dS1, EvoNorm2dS2)
"""Divide by the standard deviation (S2: root mean square) of groups of channels, in one with an activation."""
FILTER_RESPONSE_NORMS = (FilterResponseNormAct2d, FilterResponseNormTlu2d)
"""Divide each channel by its root mean square."""
NORMS = (
    *EVO_BATCH_NORMS,
    *EVO_GROUP_NORMS,
    *FILTER_RESPONSE_NORMS,
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.instancenorm._InstanceNorm,
    FrozenBatchNormAct2d,
    RmsNorm,
    RmsNorm2d,
    SimpleNorm,
    SimpleNorm2d,
)


@dataclass(frozen=True)
class LayerGroup:
    """One step of depth: the stem, a block, or the head."""

    name: str
    """stem, block:0 to block:n-1, head."""
    parameter_names: tuple[str, ...]
    """Names in the whole model, in its own order."""
    module_names: tuple[str, ...]
    """Modules that own these parameters."""


def layer_groups(model: nn.Module) -> list[LayerGroup]:
    """Split a model by depth: stem (where there is one), every block, head last.

    The head is the classification layer alone. The final norm, and whatever else lies between the last block
    and the head, belongs to the last block. Depth comes from timm's own grouping; of a module that is not
    from timm each child is a block, and the last is the head. Every parameter is in exactly one group.
    """
    prefix, body = ("body.", model.body) if isinstance(model, Classifier) else ("", model)
    stem, blocks, head = _by_matcher(body) if hasattr(body, "group_matcher") else _by_child(body)
    named = [("stem", stem), *((f"block:{i}", b) for i, b in enumerate(blocks)), ("head", head)]
    return [
        LayerGroup(
            name=name,
            parameter_names=tuple(prefix + n for n in members),
            module_names=tuple(dict.fromkeys((prefix + n).rpartition(".")[0] for n in members)),
        )
        for name, members in named
        if members
    ]


def _by_matcher(body: nn.Module) -> tuple[list[str], list[list[str]], list[str]]:
    """Stem, blocks and head; timm puts what its matcher does not name into one last group, with the head."""
    heads = tuple(f"{name}." for name in classifier_names(body))
    head = [name for name, _ in body.named_parameters() if name.startswith(heads)]
    grouped = group_parameters(body, body.group_matcher(coarse=False))  # type: ignore[operator]
    stem, *blocks = (grouped[i] for i in sorted(grouped))
    if blocks and set(head) & set(blocks[-1]):
        trailing = [name for name in blocks.pop() if name not in set(head)]
        blocks[-1:] = [last + trailing for last in blocks[-1:]]
    return stem, blocks, head


def _by_child(body: nn.Module) -> tuple[list[str], list[list[str]], list[str]]:
    children: dict[str, list[str]] = {}
    for name, _ in body.named_parameters():
        children.setdefault(name.partition(".")[0], []).append(name)
    *blocks, head = children.values()
    return [], blocks, head


def norm_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Normalisation layers in the model's order, with their names; those of one with an activation too.

    Every family of transformers has a class of its own that divides by the root mean square: it is known by its name.
    """
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, NORMS) or type(module).__name__.endswith("RMSNorm")
    ]


def batch_norms(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers whose train mode normalises by the batch, and moves running statistics."""
    moving = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, *EVO_BATCH_NORMS)
    for name, module in model.named_modules():
        if isinstance(module, moving):
            yield name, module
