"""Forget sets drawn at random: uniform, stratified, split into strata, long-tailed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import Amount, apportion, draw, draw_by_class, make
from tasks.runtime.seeding import numpy_generator


@register("random")
@dataclass(frozen=True, kw_only=True)
class Random(Amount):
    """Training examples at random; the retrained model does about as well on them as on test data."""

    stratified: bool = True
    """Keep the class proportions of the training set; false draws uniformly."""
    draw: int = 0
    """Which of the independent draws."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Draw without replacement."""
        return make("random", self, self.ids(request))

    def ids(self, request: ForgetRequest) -> np.ndarray:
        """The drawn example ids, sorted."""
        train = request.splits.train
        count = self.of(len(train), what="training examples")
        generator = numpy_generator("forget_set", "random", self.draw)
        if not self.stratified:
            return draw(train, count, generator)
        classes, sizes = np.unique(request.labels.labels[train], return_counts=True)
        counts = dict(zip(classes.tolist(), apportion(sizes, count).tolist(), strict=True))
        return draw_by_class(train, request.labels.labels, counts, generator)


@register("random_split_control")
@dataclass(frozen=True, kw_only=True)
class RandomSplitControl(Random):
    """One of several shuffled strata of a random set: the control for strata by memorisation (RUM)."""

    strata: int = 3
    """Parts of (nearly) equal size."""
    stratum: int = 0
    """Which part, from 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strata < 2:
            raise AuditError(f"strata: expected at least 2, got {self.strata}")
        if not 0 <= self.stratum < self.strata:
            raise AuditError(f"stratum: expected 0..{self.strata - 1}, got {self.stratum}")

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Shuffle the random set of the same parameters and take one part."""
        ids = self.ids(request)
        generator = numpy_generator("forget_set", "random_split_control", self.draw)
        part = np.array_split(generator.permutation(ids), self.strata)[self.stratum]
        if not len(part):
            raise AuditError(f"strata: {self.strata} strata of {len(ids)} examples leave one empty")
        return make("random_split_control", self, part)


@register("long_tailed")
@dataclass(frozen=True, kw_only=True)
class LongTailed(Amount):
    """Class counts that decay exponentially: n_c = n_0 imbalance^(-rank_c / (K - 1)) (Cui et al. 2019)."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    imbalance: float = 10.0
    """Ratio of the most to the least frequent class, at least 1."""
    shuffle_classes: bool = True
    """Which class is frequent depends on the draw; false takes the order of the labels."""
    draw: int = 0
    """Which of the independent draws."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.imbalance < 1:
            raise AuditError(f"imbalance: expected at least 1, got {self.imbalance}")

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Apportion the count to the classes, then draw inside each."""
        train, labels = request.splits.train, request.labels.labels
        total = self.of(len(train), what="training examples")
        generator = numpy_generator("forget_set", "long_tailed", self.draw)
        classes, sizes = np.unique(labels[train], return_counts=True)
        order = generator.permutation(len(classes)) if self.shuffle_classes else np.arange(len(classes))
        counts = np.empty(len(classes), dtype=np.int64)
        counts[order] = apportion(long_tail(len(classes), self.imbalance), total)
        short = np.flatnonzero(counts > sizes)
        if len(short):
            c = short[0]
            name = request.labels.class_names[classes[c]]
            raise AuditError(f"count: {total} asks for {counts[c]} of class '{name}', which has {sizes[c]}")
        wanted = dict(zip(classes.tolist(), counts.tolist(), strict=True))
        return make("long_tailed", self, draw_by_class(train, labels, wanted, generator))


def long_tail(num_classes: int, imbalance: float) -> np.ndarray:
    """Shares of the classes, most frequent first: imbalance^(-k / (K - 1)), summing to 1."""
    exponents = np.arange(num_classes) / max(num_classes - 1, 1)
    shares = imbalance**-exponents
    return shares / shares.sum()
