"""K models of one architecture as one module: channels of model k beside those of model k - 1.

Activations of the stack are `n x K*C x H x W` (and `n x K*C` after pooling), the channels of one model
together. A convolution becomes a grouped one, batch norm a native one over K*C channels, a linear layer a
batched matrix product; every other layer that is allowed treats channels alone, so it stays as it is.
Layers are allowed by type. What the forward code between layers does is not read but measured: see
`check_stackable`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool, FastAdaptiveMaxPool
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from tasks.errors import AuditError
from tasks.networks.models import Normalise
from tasks.runtime.seeding import isolated_global_rng, torch_generator


class Unstackable(AuditError):
    """The models cannot run in lockstep; the loop trains them instead."""


class StackedLinear(nn.Module):
    """K linear layers, `n x K*I` to `n x K*O`, as one batched matrix product."""

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor] | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack(tuple(weights)))
        self.bias = nn.Parameter(torch.stack(tuple(biases))) if biases is not None else None

    def forward(self, features: Tensor) -> Tensor:
        """Apply the layer of model k to the features of model k."""
        if features.dim() != 2:
            raise Unstackable(
                f"linear layer: expected a matrix of features, got shape {tuple(features.shape)}"
            )
        count, _, size = self.weight.shape
        split = features.reshape(len(features), count, size).transpose(0, 1)
        weight = self.weight.transpose(1, 2)
        out = split @ weight if self.bias is None else torch.baddbmm(self.bias[:, None], split, weight)
        return out.transpose(0, 1).reshape(len(features), -1)


class Stack(nn.Module):
    """K equal models in lockstep; the state has the names of one model, its tensors those of all K.

    Args:
        models: at least one; equal but for the values of their tensors.

    Raises:
        Unstackable: the models differ, or hold a layer that is not known to treat channels alone.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        _check_equal(models)
        self.num_models = len(models)
        self.body = _stack(models, "model")

    def forward(self, images: Tensor) -> Tensor:
        """Logits `n x K x classes`, float32, of images `n x K*C x H x W`."""
        logits = self.body(images)
        if logits.dim() != 2 or logits.shape[1] % self.num_models:
            raise Unstackable(f"expected a matrix of logits, got shape {tuple(logits.shape)}")
        return logits.view(len(images), self.num_models, -1)

    @torch.no_grad()
    def write_back(self, models: Sequence[nn.Module]) -> None:
        """Copy weights and buffers into the single models."""
        state = self.body.state_dict()
        for index, model in enumerate(models):
            for name, tensor in model.state_dict().items():
                tensor.copy_(_share(state[name], tensor, index))

    @torch.no_grad()
    def finite(self) -> Tensor:
        """`K`, bool: which models have no infinite or undefined parameter."""
        parts = [torch.isfinite(per_model(p, self.num_models)).all(1) for p in self.body.parameters()]
        return torch.stack(parts).all(0)


def per_model(tensor: Tensor, num_models: int) -> Tensor:
    """A stacked parameter (or gradient) as `K x numbers`."""
    return tensor.reshape(num_models, -1)


def _share(stacked: Tensor, single: Tensor, index: int) -> Tensor:
    """The part of a stacked tensor that belongs to model `index`; a counter belongs to all."""
    if stacked.dim() == single.dim() + 1:
        return stacked[index]
    if single.dim() == 0:
        return stacked
    return stacked[index * len(single) : (index + 1) * len(single)]


def _check_equal(models: Sequence[nn.Module]) -> None:
    first = models[0]
    shapes = {name: (t.shape, t.dtype, t.device) for name, t in first.state_dict().items()}
    switches = [p.requires_grad for p in first.parameters()]
    layers = fingerprint(first)
    for model in models[1:]:
        if {name: (t.shape, t.dtype, t.device) for name, t in model.state_dict().items()} != shapes:
            raise Unstackable("models differ in the names, shapes, types or devices of their tensors")
        if [p.requires_grad for p in model.parameters()] != switches or layers != fingerprint(model):
            raise Unstackable("models differ in their layers or in what they train")
    owners = [id(p) for module in first.modules() for p in module.parameters(recurse=False)]
    if len(owners) != len(set(owners)):
        raise Unstackable("two layers share a parameter")


def fingerprint(model: nn.Module) -> tuple:
    """What decides a model's computation but for its tensors: layer types, names and plain attributes."""
    plain = (bool, int, float, str, tuple, type(None))
    return tuple(
        (name, type(m), tuple((k, v) for k, v in vars(m).items() if k != "training" and isinstance(v, plain)))
        for name, m in model.named_modules()
    )


# -- layer by layer ---------------------------------------------------------------------------------------

Layers = Sequence[Any]
Rule = Callable[[Layers], nn.Module]


def _stack(layers: Layers, path: str) -> nn.Module:
    """One module that does for all models what each of `layers` does for its own."""
    first = layers[0]
    if any(getattr(first, hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")):
        raise Unstackable(f"{path}: a hook would see the stack instead of its model")
    rule = _RULES.get(type(first))
    if rule is not None:
        return rule(layers)
    own = [*first.parameters(recurse=False), *first.buffers(recurse=False)]
    if own or not list(first.children()):
        raise Unstackable(f"{path}: no rule to stack a {type(first).__name__}")
    return _with_children(layers, path)


def _with_children(layers: Layers, path: str) -> nn.Module:
    """A container with stacked children: its own forward code, which `check_stackable` tries."""
    container: nn.Module = copy.copy(layers[0])
    container._modules = {
        name: child if child is None else _stack([layer._modules[name] for layer in layers], f"{path}.{name}")
        for name, child in layers[0]._modules.items()
    }
    return container


def _unchanged(layers: Layers) -> nn.Module:
    return copy.deepcopy(layers[0])


def _silent(layers: Layers) -> nn.Module:
    if layers[0].p > 0:
        raise Unstackable("dropout above 0 draws from one stream for each model")
    return nn.Identity()


def _flatten(layers: Layers) -> nn.Module:
    if layers[0].start_dim != 1:
        raise Unstackable("flatten: expected all dimensions but the batch")
    return nn.Flatten(1)


def _convolution(layers: Layers) -> nn.Module:
    out = _wide(layers, "weight", "bias")
    out.in_channels, out.out_channels, out.groups = (
        getattr(layers[0], name) * len(layers) for name in ("in_channels", "out_channels", "groups")
    )
    return out


def _batch_norm(layers: Layers) -> Any:
    counters = [layer.num_batches_tracked for layer in layers if layer.track_running_stats]
    if counters and len(set(torch.stack(counters).tolist())) > 1:
        raise Unstackable("batch norms have seen different numbers of batches")
    out = _wide(layers, "weight", "bias", "running_mean", "running_var")
    out.num_features = layers[0].num_features * len(layers)
    return out


def _batch_norm_act(layers: Layers) -> nn.Module:
    out = _batch_norm(layers)
    for name in ("drop", "act"):
        setattr(out, name, _stack([getattr(layer, name) for layer in layers], name))
    return out


def _group_norm(layers: Layers) -> nn.Module:
    out = _wide(layers, "weight", "bias")
    out.num_groups, out.num_channels = (
        getattr(layers[0], name) * len(layers) for name in ("num_groups", "num_channels")
    )
    return out


def _wide(layers: Layers, *names: str) -> Any:
    """A copy of the first layer whose named tensors are those of all layers, one after the other."""
    out = copy.deepcopy(layers[0])
    for name in names:
        value = getattr(layers[0], name)
        if value is None:
            continue
        joined = torch.cat([getattr(layer, name).detach() for layer in layers])
        if isinstance(value, nn.Parameter):
            joined = nn.Parameter(joined, requires_grad=value.requires_grad)
        setattr(out, name, joined)
    return out


def _linear(layers: Layers) -> nn.Module:
    biases = None if layers[0].bias is None else [layer.bias.detach() for layer in layers]
    out = StackedLinear([layer.weight.detach() for layer in layers], biases)
    for name, parameter in out.named_parameters():
        parameter.requires_grad_(getattr(layers[0], name).requires_grad)
    return out.train(layers[0].training)


def _normalise(layers: Layers) -> nn.Module:
    return _wide(layers, "mean", "std")


_ACTIVATIONS = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid,
)  # fmt: skip
_POOLS = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ZeroPad2d,
    FastAdaptiveAvgPool, FastAdaptiveMaxPool,
)  # fmt: skip
_RULES: Mapping[type[nn.Module], Rule] = {
    **dict.fromkeys((*_ACTIVATIONS, *_POOLS), _unchanged),
    **dict.fromkeys((nn.Dropout, nn.Dropout2d), _silent),
    nn.Flatten: _flatten,
    nn.Conv2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    BatchNormAct2d: _batch_norm_act,
    nn.GroupNorm: _group_norm,
    nn.Linear: _linear,
    Normalise: _normalise,
}
"""Layers that treat channels alone, by exact type: a subclass may do anything."""


# -- the proof --------------------------------------------------------------------------------------------

_CHECK_MODELS, _CHECK_BATCH, _CHECK_TOLERANCE = 2, 3, 1e-5
_checked: dict[tuple, str] = {}


def check_stackable(model: nn.Module, image_shape: tuple[int, ...]) -> None:
    """Compare a stack with its single models: logits, gradients, statistics, in train and in eval mode.

    In float64 on the CPU, where what is left is error and not rounding, with random weights: parts that
    start at zero would hide mistakes. The answer is kept for the process.

    Args:
        model: any model of the architecture; it is not changed.
        image_shape: channels, height, width.

    Raises:
        Unstackable: no rule for a layer, or other numbers; the message says where.
    """
    key = (fingerprint(model), image_shape)
    if key not in _checked:
        try:
            _compare(model, image_shape)
            _checked[key] = ""
        except Unstackable as problem:
            _checked[key] = str(problem)
    if _checked[key]:
        raise Unstackable(_checked[key])


def _compare(model: nn.Module, image_shape: tuple[int, ...]) -> None:
    generator = torch_generator("stack", "check")
    models = [_randomised(model, generator) for _ in range(_CHECK_MODELS)]
    images = torch.rand(_CHECK_BATCH, _CHECK_MODELS, *image_shape, generator=generator, dtype=torch.float64)
    with isolated_global_rng("stack", "check"):
        stack = Stack(models)
        for training in (True, False):
            for module in (stack, *models):
                module.train(training)
                module.zero_grad()
            singles = torch.stack([m(images[:, k]) for k, m in enumerate(models)], dim=1)
            try:
                together = stack(images.flatten(1, 2))
            except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
                raise Unstackable(f"the forward code does not take a stack: {error}") from error
            _same("logits", singles, together)
            direction = torch.rand(singles.shape, generator=generator)
            (singles * direction).sum().backward()
            (together * direction).sum().backward()
            _same_tensors(stack, models)


def _randomised(model: nn.Module, generator: torch.Generator) -> nn.Module:
    out = copy.deepcopy(model).cpu().double()
    norms: list[Any] = [m for m in out.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    tensors = [*out.parameters(), *(m.running_mean for m in norms if m.running_mean is not None)]
    with torch.no_grad():
        for tensor in tensors:
            noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.add_(noise, alpha=0.1 + 0.1 * float(tensor.abs().mean()))
        for norm in norms:
            if norm.running_var is not None:
                norm.running_var.add_(torch.rand(norm.running_var.shape, generator=generator))
    return out


def _same_tensors(stack: Stack, models: Sequence[nn.Module]) -> None:
    state, gradients = stack.body.state_dict(), {n: p.grad for n, p in stack.body.named_parameters()}
    for index, model in enumerate(models):
        for name, tensor in model.state_dict().items():
            _same(name, tensor, _share(state[name], tensor, index))
        for name, parameter in model.named_parameters():
            together = gradients[name]
            if (parameter.grad is None) != (together is None):
                raise Unstackable(f"only the stack or only its model trains {name}")
            if parameter.grad is not None and together is not None:
                _same(f"gradient of {name}", parameter.grad, _share(together, parameter.grad, index))


def _same(what: str, single: Tensor, together: Tensor) -> None:
    if single.shape != together.shape:
        raise Unstackable(f"{what}: shape {tuple(together.shape)} in a stack, {tuple(single.shape)} alone")
    single, together = single.detach(), together.detach()
    error = float((single - together).abs().max()) if single.numel() else 0.0
    if not error <= _CHECK_TOLERANCE * (1 + float(single.abs().max())):
        raise Unstackable(f"{what}: a stack differs from its models by {error:.1e}")
