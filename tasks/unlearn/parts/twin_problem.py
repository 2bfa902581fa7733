"""Parts of twin machine unlearning (arXiv 2408.11433): difficulty features, scaling, classifier."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.unlearn.parts.risk import BATCH, input_gradients

if TYPE_CHECKING:
    from tasks.training.resident import Subset
    from tasks.unlearn.run import UnlearningRun


def neighbour_distance(
    features: Tensor, labels: Tensor, references: Tensor, reference_labels: Tensor, *, k: int
) -> Tensor:
    """Mean distance to the `k` nearest reference features of the same class, `n` (DF).

    A class without references (all of it is forgotten) is compared with all of them; one with fewer than `k`
    with those there are.

    Args:
        features: `n x d`.
        labels: `n`, int64.
        references: `m x d`.
        reference_labels: `m`, int64.
        k: neighbours.
    """
    result = features.new_zeros(len(features))
    for label in labels.unique():
        rows = torch.nonzero(labels == label).squeeze(1)
        same = references[reference_labels == label]
        same = same if len(same) else references
        for part in rows.split(BATCH):
            distances = torch.cdist(features[part], same)
            result[part] = distances.topk(min(k, len(same)), largest=False).values.mean(1)
    return result


def flip_radius(run: UnlearningRun, model: nn.Module, subset: Subset, *, eps: float, steps: int) -> Tensor:
    """L-infinity radius at which signed gradient steps of eps/steps change the prediction, `n` (AF).

    0 where the model errs on the clean image; eps * (1 + 1/steps) where all steps fail.
    """
    parts = []
    for batch in subset.batches(BATCH):
        taken = torch.full((len(batch.ids),), steps + 1, device=batch.ids.device)
        for step in range(steps + 1):
            gradient, z = input_gradients(run, model, batch)
            taken = taken.where((taken <= steps) | (z.argmax(1) == batch.targets), step)
            moved = (batch.inputs + eps / steps * gradient.sign()).clamp(0.0, 1.0)
            batch = batch._replace(inputs=moved)
        parts.append(taken.float() * eps / steps)
    return torch.cat(parts)


def scale_features(fitted: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Clip to the quartiles -/+ 1.5 interquartile ranges of `fitted`, then its minimum to 0 and maximum to 1.

    A column whose interquartile range is 0 is not clipped; a constant column becomes 0.

    Args:
        fitted: `n x f`, whose quartiles and range are used.
        other: `m x f`, brought to the same scale and clipped to the same range.
    """
    # on the host: it takes float64 within, which Apple's GPUs have not
    q1, q3 = torch.quantile(fitted.cpu(), torch.tensor([0.25, 0.75]), dim=0).to(fitted.device)
    reach = torch.where(q3 > q1, 1.5 * (q3 - q1), torch.inf)
    low = torch.maximum(fitted.amin(0), q1 - reach)
    high = torch.minimum(fitted.amax(0), q3 + reach)
    width = torch.where(high > low, high - low, 1.0)
    first, second = ((x.clamp(low, high) - low) / width for x in (fitted, other))
    return first, second


def fit_binary_classifier(
    features: Tensor,
    targets: Tensor,
    *,
    hidden: int,
    lr: float,
    epochs: int,
    batch_size: int,
    generator: torch.Generator,
) -> Callable[[Tensor], Tensor]:
    """Fit logistic regression, or a perceptron with one hidden ReLU layer, by Adam on the log loss.

    Args:
        features: `n x f`.
        targets: `n`, bool.
        hidden: hidden units; 0 is logistic regression, which starts from zero weights.
        lr: learning rate.
        epochs: passes.
        batch_size: examples per step.
        generator: CPU generator of the initial weights and the order.

    Returns:
        Probability of True for `m x f` features.
    """
    layers = _layers(features.shape[1], hidden, generator, features.device)
    optimizer = torch.optim.Adam(layers, lr=lr)
    targets = targets.float()
    for _ in range(epochs):
        order = torch.randperm(len(features), generator=generator).to(features.device)
        for rows in order.split(batch_size):
            loss = F.binary_cross_entropy_with_logits(_forward(layers, features[rows]), targets[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    fixed = [w.detach() for w in layers]
    return lambda x: _forward(fixed, x).sigmoid()


def _layers(inputs: int, hidden: int, generator: torch.Generator, device: torch.device) -> list[Tensor]:
    """Weights and biases in turn; every hidden weight is drawn from N(0, 2/inputs)."""
    sizes = [inputs, hidden, 1] if hidden else [inputs, 1]
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        scale = (2.0 / fan_in) ** 0.5 if hidden else 0.0
        layers += [torch.randn(fan_in, fan_out, generator=generator) * scale, torch.zeros(fan_out)]
    return [w.to(device).requires_grad_(True) for w in layers]


def _forward(layers: list[Tensor], x: Tensor) -> Tensor:
    for weight, bias in zip(layers[0:-2:2], layers[1:-2:2], strict=True):
        x = torch.relu(x @ weight + bias)
    return (x @ layers[-2] + layers[-1]).squeeze(1)
