"""The fairness gap of a normalisation layer: the largest difference between classes of its spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial

import numpy as np
import torch
from torch import nn

from tasks.measure.fairness import LayerGap, fairness_gaps
from tasks.training.resident import ResidentData
from tests.benchmarks.coverage.case import Case, Seen, one_by_one

FAMILY = "layers"
CHANNELS, SIDE = 6, 3
NORMS: Mapping[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: nn.BatchNorm2d(CHANNELS),
    "group norm": lambda: nn.GroupNorm(2, CHANNELS),
}
SHAPES: Mapping[str, Callable[[int], np.ndarray]] = {
    "equal": np.ones,
    "even from 1 to 1.3": lambda count: np.linspace(1, 1.3, count),
    "one at 1.3": lambda count: np.r_[1.3, np.ones(count - 1)],
    "half at 1.2": lambda count: np.repeat([1.2, 1.0], [count // 2, count - count // 2]),
}
"""Contrast of the classes, which is what spreads are proportional to."""


def _gap(generator: np.random.Generator, norm: str, n: int, contrasts: np.ndarray) -> LayerGap:
    """Images whose channels have means and spreads of their own, more so in some images than in others."""
    labels = np.repeat(np.arange(len(contrasts)), n)
    strength = (
        np.exp(0.5 * generator.normal(size=(len(labels), 1, 1, 1))) * contrasts[labels, None, None, None]
    )
    noise = generator.normal(size=(len(labels), CHANNELS, SIDE, SIDE))
    images = strength * (0.5 * generator.normal(size=(len(labels), CHANNELS, 1, 1)) + noise)
    data = ResidentData.put(images.astype(np.float32), labels, len(contrasts), torch.device("cpu"))
    (gap,) = fairness_gaps(
        nn.Sequential(NORMS[norm]()), data.subset(np.arange(len(labels))), shuffles=0, batch_size=len(labels)
    )
    return gap


@cache
def _spread(norm: str) -> float:
    """Spread at contrast 1, from a sample that is large enough."""
    return _gap(np.random.default_rng(0), norm, 40_000, np.ones(1)).sigma_by_class[0]


def _draw(generator: np.random.Generator, *, norm: str, n: int, contrasts: np.ndarray) -> dict[str, Seen]:
    gap = _gap(generator, norm, n, contrasts)
    assert gap.gap_low is not None
    assert gap.gap_high is not None
    apart = float(np.ptp(contrasts))
    return {"fairness gap": Seen(gap.gap, gap.gap_low, gap.gap_high, apart * _spread(norm) if apart else 0.0)}


CASES = tuple(
    Case(
        family=FAMILY,
        name=f"{norm}, {count} classes of {n} examples: {shape}",
        estimates=("fairness gap",),
        simulate=one_by_one(partial(_draw, norm=norm, n=n, contrasts=contrasts(count))),
        fast=60 if (norm, count, n, shape) == ("batch norm", 10, 36, "equal") else 0,
    )
    for norm in NORMS
    for count, n in ((2, 36), (10, 10), (10, 36), (10, 100), (10, 1000), (100, 36))
    for shape, contrasts in SHAPES.items()
)
