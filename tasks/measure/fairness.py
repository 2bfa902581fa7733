"""Fairness gap across normalisation layers: how differently a layer's scale sees the classes.

gap of layer l = max over classes of sigma_c - min over classes of sigma_c (arXiv 2504.13610); sigma by one of
`tasks.measure.fairness_definitions`. Shapes: n examples, C channels, P positions (tokens, groups or pixels) with d
numbers normalised at each, R sets of example weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import timm.layers
import torch
from scipy import special
from timm.layers.evo_norm import EvoNorm2dS2
from torch import Tensor, nn

from tasks.errors import AuditError, unknown_name
from tasks.measure.fairness_definitions import DEFINITIONS, Definition
from tasks.measure.layer_inputs import watch
from tasks.networks.layers import EVO_BATCH_NORMS, EVO_GROUP_NORMS, FILTER_RESPONSE_NORMS, norm_layers
from tasks.runtime.devices import off_mps
from tasks.runtime.seeding import numpy_generator
from tasks.statistics.intervals import Ends
from tasks.statistics.spread import largest_difference
from tasks.training.resident import Subset

_BATCH_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    timm.layers.FrozenBatchNormAct2d,  # type: ignore[attr-defined]
    *EVO_BATCH_NORMS,
)
_RMS_NORMS = (nn.RMSNorm, timm.layers.RmsNorm, timm.layers.RmsNorm2d)  # type: ignore[attr-defined]
_UNCENTRED = (*_RMS_NORMS, *FILTER_RESPONSE_NORMS, EvoNorm2dS2)
_BY_CHANNEL = (nn.modules.instancenorm._InstanceNorm, *FILTER_RESPONSE_NORMS)


@dataclass(frozen=True, kw_only=True)
class LayerGap:
    """The fairness gap of one normalisation layer by one definition."""

    layer: str
    """Module name in the model."""
    index: int
    """Place among the normalisation layers, from 0 at the input."""
    kind: str
    """batchnorm, layernorm, groupnorm, instancenorm or rmsnorm."""
    definition: Definition
    gap: float
    gap_low: float | None
    """Ends of the interval over examples (`tasks.statistics.spread`); None where a class has one example."""
    gap_high: float | None
    relative_gap: float
    """gap / mean over classes of sigma_c; comparable between layers and architectures."""
    baseline_gap: float
    """Mean gap under shuffled labels: what sampling noise alone gives, since max - min is never negative."""
    classes: tuple[int, ...]
    """Classes present, ascending."""
    sigma_by_class: tuple[float, ...]
    """sigma_c, in the order of `classes`."""
    n: int
    """Examples."""


class Statistics(Protocol):
    """What one layer keeps of every example: enough for sigma of any weighting of the examples."""

    def sigma(self, weights: Tensor, rows: Tensor | slice, definition: Definition) -> Tensor:
        """sigma, `R`, of the examples `rows` under `weights` (`R x len(rows)`, each row sums to 1)."""
        ...

    def influence(self, rows: Tensor, definition: Definition) -> Tensor:
        """How far each of the examples `rows` moves their sigma, times their number: `len(rows)`, of mean 0."""
        ...


class BatchNormStatistics:
    """Mean and mean square of each channel over the positions of each example: a class's variance follows.

    Both are taken around the channel's mean over all examples, which avoids cancellation in float32.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.means: list[Tensor] = []
        self.variances: list[Tensor] = []

    def add(self, x: Tensor, n: int) -> None:
        """Take in the layer's input of n examples, `n * t x C` or `n * t x C x ...`."""
        values = x.detach().float().flatten(2) if x.ndim > 2 else x.detach().float()[:, :, None]
        values = values.unflatten(0, (n, -1)).transpose(1, 2).flatten(2)
        variance, mean = torch.var_mean(values, dim=2, correction=0)
        self.means.append(off_mps(mean))
        self.variances.append(off_mps(variance))

    def finish(self) -> None:
        """Join the batches and move the origin to the channel means, which changes no variance."""
        mean = torch.cat(self.means)
        self.mean = (mean - mean.double().mean(dim=0)).float()
        self.second = torch.cat(self.variances) + self.mean.square()
        self.means, self.variances = [], []

    def sigma(self, weights: Tensor, rows: Tensor | slice, definition: Definition) -> Tensor:
        """Mean over channels of the standard deviation or variance."""
        mean, second = self.mean[rows].to(weights.dtype), self.second[rows].to(weights.dtype)
        variance = (weights @ second - (weights @ mean).square()).clamp(min=0)
        if definition.endswith("post_norm"):
            variance = variance * self._gain().to(variance)
        if definition.startswith("var_"):
            return variance.mean(dim=1)
        return (variance + (self._eps() if definition == "norm_sigma" else 0)).sqrt().mean(dim=1)

    def influence(self, rows: Tensor, definition: Definition) -> Tensor:
        """Derivative of `sigma` by the weight of each example (the delta method)."""
        mean, second = self.mean[rows].double(), self.second[rows].double()
        from_mean, moved = mean - mean.mean(dim=0), second - second.mean(dim=0)
        variance = moved - 2 * mean.mean(dim=0) * from_mean
        level = (second.mean(dim=0) - mean.mean(dim=0).square()).clamp(min=0)
        if definition.endswith("post_norm"):
            variance, level = variance * self._gain().to(variance), level * self._gain().to(variance)
        if definition.startswith("var_"):
            return variance.mean(dim=1)
        root = (level + (self._eps() if definition == "norm_sigma" else 0)).sqrt()
        # no example moves a channel that is the same everywhere
        return torch.where(root > 0, variance / (2 * root), 0.0).mean(dim=1)

    def _eps(self) -> float:
        return float(self.module.eps)  # type: ignore[arg-type]

    def _gain(self) -> Tensor:
        """Squared factor of each channel in eval mode: weight^2 / (running variance + eps)."""
        running = self.module.running_var
        if not isinstance(running, Tensor):
            raise AuditError("fairness gap: post_norm needs batch norms that keep running statistics")
        weight = self.module.weight
        gain = 1 / (off_mps(running).double() + self._eps())
        return gain * off_mps(weight.detach()).double().square() if isinstance(weight, Tensor) else gain


class ExampleStatistics:
    """For norms within an example: sigma of each example, mean over its positions, by definition."""

    def __init__(self, module: nn.Module, definitions: Sequence[Definition]) -> None:
        self.module = module
        self.parts: dict[Definition, list[Tensor]] = {definition: [] for definition in definitions}

    def add(self, x: Tensor, n: int) -> None:
        """Take in the layer's input of n examples, `n * t x ...`."""
        values, weight, bias = _positions(self.module, x.detach().float())
        centred = not isinstance(self.module, _UNCENTRED)
        eps = float(getattr(self.module, "eps", None) or torch.finfo(torch.float32).eps)
        mean = values.mean(dim=2, keepdim=True) if centred else torch.zeros_like(values[..., :1])
        variance = (values - mean).square().mean(dim=2)
        for definition, parts in self.parts.items():
            second, extra = variance, eps
            if definition.endswith("post_norm"):
                output = (values - mean) / (variance + eps).sqrt()[..., None] * weight + bias
                middle = output.mean(dim=2, keepdim=True) if centred else 0.0
                second, extra = (output - middle).square().mean(dim=2), 0.0
            spread = second if definition.startswith("var_") else (second + extra).sqrt()
            parts.append(off_mps(spread.mean(dim=1).view(n, -1).mean(dim=1)))

    def finish(self) -> None:
        """Join the batches."""
        self.values = {definition: torch.cat(parts) for definition, parts in self.parts.items()}
        self.parts = {}

    def sigma(self, weights: Tensor, rows: Tensor | slice, definition: Definition) -> Tensor:
        """Weighted mean over examples."""
        return weights @ self.values[definition][rows].to(weights.dtype)

    def influence(self, rows: Tensor, definition: Definition) -> Tensor:
        """Distance of each example from the mean."""
        values = self.values[definition][rows].double()
        return values - values.mean()


def _positions(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
    """Input as `n x P x d`; affine weight and bias broadcastable to `P x d` (1 and 0 where absent)."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if isinstance(module, (nn.GroupNorm, *_BY_CHANNEL, *EVO_GROUP_NORMS)):
        groups = x.shape[1] if isinstance(module, _BY_CHANNEL) else _groups(module)
        values = x.reshape(len(x), groups, -1)
        each = values.shape[1] * values.shape[2] // x.shape[1]
        affine = [None if p is None else p.repeat_interleave(each).view(groups, -1) for p in (weight, bias)]
    else:
        if x.ndim == 4 and "2d" in type(module).__name__:
            x = x.permute(0, 2, 3, 1)
        width = int(np.prod(getattr(module, "normalized_shape", x.shape[-1:])))
        values = x.reshape(len(x), -1, width)
        affine = [None if p is None else p.reshape(-1) for p in (weight, bias)]
    scale, shift = (None if p is None else p.detach().float() for p in affine)
    return values, 1.0 if scale is None else scale, 0.0 if shift is None else shift


def _groups(module: nn.Module) -> int:
    return module.num_groups if isinstance(module, nn.GroupNorm) else int(module.groups)  # type: ignore[arg-type]


def defined(module: nn.Module, definition: Definition) -> bool:
    """Whether a layer has such a sigma: an EvoNorm has no output before its activation, which is one with it."""
    return not (definition.endswith("post_norm") and isinstance(module, (*EVO_BATCH_NORMS, *EVO_GROUP_NORMS)))


def kind_of(module: nn.Module) -> str:
    """The name of a normalisation layer's kind."""
    kinds = (
        (_BATCH_NORMS, "batchnorm"),
        ((nn.GroupNorm, *EVO_GROUP_NORMS), "groupnorm"),
        (_BY_CHANNEL, "instancenorm"),
        (_RMS_NORMS, "rmsnorm"),
    )
    return next((name for classes, name in kinds if isinstance(module, classes)), "layernorm")


def fairness_gaps(
    model: nn.Module,
    subset: Subset,
    *,
    definitions: Sequence[Definition] = ("norm_sigma",),
    shuffles: int = 20,
    seed_path: tuple[str | int, ...] = (),
    batch_size: int = 512,
    most_bytes: int = 2**29,
) -> list[LayerGap]:
    """Measure the fairness gap of every normalisation layer, in eval mode, without augmentation.

    Args:
        model: images to logits.
        subset: examples with labels; by custom the test set.
        definitions: which sigma; see `DEFINITIONS`.
        shuffles: label shuffles behind the baseline; 0 makes it 0.
        seed_path: names the random stream of the shuffles.
        batch_size: images per forward pass.
        most_bytes: statistics held at once; above it, the layers are measured in several passes.

    Raises:
        AuditError: the subset is empty, or a definition is unknown.
    """
    for definition in definitions:
        if definition not in DEFINITIONS:
            raise unknown_name("fairness-gap definition", definition, DEFINITIONS)
    if not len(subset):
        raise AuditError("fairness gap: no examples")
    weighting = _Weighting(subset.targets.cpu().numpy(), shuffles, seed_path)
    gaps: list[LayerGap] = []
    for group in _passes(model, len(subset), most_bytes):
        for (index, name, module), statistics in _measure(model, subset, group, definitions, batch_size):
            gaps += [
                weighting.gap(statistics, definition, name, index, kind_of(module))
                for definition in definitions
                if defined(module, definition)
            ]
    return gaps


Layer = tuple[int, str, nn.Module]


def _passes(model: nn.Module, n: int, most_bytes: int) -> Iterator[list[Layer]]:
    """Layers in groups whose statistics of `n` examples fit; at least one each."""
    group: list[Layer] = []
    held = 0
    for index, (name, module) in enumerate(norm_layers(model)):
        # two float32 numbers for each example and channel
        size = 8 * n * (_channels(module) if isinstance(module, _BATCH_NORMS) else 1)
        if group and held + size > most_bytes:
            yield group
            group, held = [], 0
        group.append((index, name, module))
        held += size
    if group:
        yield group


def _channels(module: nn.Module) -> int:
    return len(module.running_var if isinstance(module, EVO_BATCH_NORMS) else range(module.num_features))  # type: ignore[arg-type]


def _measure(
    model: nn.Module,
    subset: Subset,
    layers: list[Layer],
    definitions: Sequence[Definition],
    batch_size: int,
) -> Iterator[tuple[Layer, Statistics]]:
    """One pass over the examples; layers that see no single examples, or nothing, are left out."""
    kept = [
        BatchNormStatistics(module)
        if isinstance(module, _BATCH_NORMS)
        else ExampleStatistics(module, definitions)
        for _, _, module in layers
    ]
    named, takes = [(name, module) for _, name, module in layers], [statistics.add for statistics in kept]
    whole = watch(model, subset, named, takes, batch_size)
    for layer, statistics, saw_all in zip(layers, kept, whole, strict=True):
        if saw_all:
            statistics.finish()
            yield layer, statistics


class _Weighting:
    """The example weights of each class and shuffle; drawn once and used for every layer."""

    def __init__(self, labels: np.ndarray, shuffles: int, seed_path: tuple[str | int, ...]) -> None:
        self.classes, inverse = np.unique(labels, return_inverse=True)
        self.n = len(labels)
        self.by_class = self._weights(inverse).double()
        generator = numpy_generator("fairness gap", *seed_path, "shuffles")
        drawn = [self._weights(generator.permutation(inverse)) for _ in range(shuffles)]
        self.shuffled = torch.cat(drawn) if drawn else None
        self.sizes = np.bincount(inverse)
        self.rows = [torch.from_numpy(np.flatnonzero(inverse == k)) for k in range(len(self.classes))]

    def _weights(self, inverse: np.ndarray) -> Tensor:
        weights = torch.zeros(len(self.classes), self.n)
        weights[torch.from_numpy(inverse), torch.arange(self.n)] = 1
        return weights / weights.sum(dim=1, keepdim=True)

    def gap(
        self, statistics: Statistics, definition: Definition, layer: str, index: int, kind: str
    ) -> LayerGap:
        """Point estimate, interval and baseline of one layer."""
        device = _device_of(statistics)

        def sigma(weights: Tensor) -> np.ndarray:
            return statistics.sigma(weights.to(device), slice(None), definition).cpu().double().numpy()

        values = sigma(self.by_class)
        value = float(np.ptp(values))
        low, high = (0.0, 0.0) if len(values) == 1 else (None, None)
        if len(values) > 1 and self.sizes.min() > 1:
            spreads = [statistics.influence(rows.to(device), definition).std() for rows in self.rows]
            errors = torch.stack(spreads).cpu().numpy() / np.sqrt(self.sizes)

            def ends(confidence: float) -> Ends:
                half = special.stdtrit(self.sizes - 1, 0.5 + confidence / 2) * errors
                return values - half, values + half

            low, high = largest_difference(values, ends)
        noise = 0.0
        if self.shuffled is not None:
            noise = float(np.ptp(sigma(self.shuffled).reshape(-1, len(self.classes)), axis=1).mean())
        mean = float(values.mean())
        return LayerGap(
            layer=layer,
            index=index,
            kind=kind,
            definition=definition,
            gap=value,
            gap_low=low,
            gap_high=high,
            relative_gap=value / mean if mean > 0 else 0.0,
            baseline_gap=noise,
            classes=tuple(int(c) for c in self.classes),
            sigma_by_class=tuple(float(v) for v in values),
            n=self.n,
        )


def _device_of(statistics: Statistics) -> torch.device:
    if isinstance(statistics, BatchNormStatistics):
        return statistics.second.device
    assert isinstance(statistics, ExampleStatistics)
    return next(iter(statistics.values.values())).device
