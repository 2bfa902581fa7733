"""Forget sets whose examples were wrong when the original learnt them: swapped, stamped, mislabelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import Amount, class_index, draw, make, members
from tasks.runtime.seeding import numpy_generator

Corner = Literal["top_left", "top_right", "bottom_left", "bottom_right"]


@register("interclass_confusion")
@dataclass(frozen=True, kw_only=True)
class InterclassConfusion(ForgetKind):
    """Labels swapped between samples of two classes before training (Goel et al. 2022).

    Success is that confusions a <-> b vanish from unseen data.
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    class_a: int | str
    """Index or name of one class."""
    class_b: int | str
    """Index or name of the other."""
    count: int
    """Examples in all; half of them from each class (an odd one from class_a)."""
    draw: int = 0
    """Which of the independent draws."""

    def __post_init__(self) -> None:
        if self.count < 2:
            raise AuditError(f"count: expected at least 2, got {self.count}")

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Draw from both classes and swap the training labels."""
        names = request.labels.class_names
        a = class_index(self.class_a, names, where="class_a")
        b = class_index(self.class_b, names, where="class_b")
        if a == b:
            raise AuditError(f"class_b: expected another class than class_a, got '{names[b]}' twice")
        generator = numpy_generator("forget_set", "interclass_confusion", self.draw)
        swapped: dict[int, int] = {}
        for label, other, count in ((a, b, self.count - self.count // 2), (b, a, self.count // 2)):
            ids = members(request, label, where="class_a" if label == a else "class_b")
            if count > len(ids):
                raise AuditError(f"count: {count} of class '{names[label]}', which has {len(ids)}")
            swapped |= dict.fromkeys(draw(ids, count, generator).tolist(), other)
        chosen = make("interclass_confusion", self, np.array(list(swapped)))
        return replace(chosen, train_labels=swapped)


@register("label_noise")
@dataclass(frozen=True, kw_only=True)
class LabelNoise(Amount):
    """Mislabelled canaries: a wrong label, uniform over the other classes (Aerni et al. 2024).

    A model can know such a label only by memorising the example.
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    draw: int = 0
    """Which of the independent draws."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Draw uniformly and relabel."""
        train = request.splits.train
        generator = numpy_generator("forget_set", "label_noise", self.draw)
        ids = draw(train, self.of(len(train), what="training examples"), generator)
        num_classes = request.labels.num_classes
        shift = generator.integers(1, num_classes, size=len(ids))
        wrong = (request.labels.labels[ids] + shift) % num_classes
        chosen = make("label_noise", self, ids)
        return replace(chosen, train_labels=dict(zip(ids.tolist(), wrong.tolist(), strict=True)))


@register("backdoor")
@dataclass(frozen=True, kw_only=True)
class Backdoor(Amount):
    """Examples stamped with a trigger and labelled as the target class (Gu et al. 2017).

    Success is that stamped unseen images are no longer classified as the target.
    """

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})

    target: int | str
    """Index or name of the class that the trigger stands for; its own examples are not stamped."""
    size: int = 2
    """Side of the square trigger in pixels: 2 gives the 4-pixel trigger of Jia et al. 2023."""
    corner: Corner = "bottom_right"
    """Where the trigger is."""
    value: float = 1.0
    """Brightness of the trigger in all channels, in [0, 1]."""
    draw: int = 0
    """Which of the independent draws."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size < 1:
            raise AuditError(f"size: expected at least 1, got {self.size}")
        if not 0 <= self.value <= 1:
            raise AuditError(f"value: expected a number in [0, 1], got {self.value}")

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Draw among the other classes' examples; every chosen one gets trigger and target label."""
        names, train = request.labels.class_names, request.splits.train
        target = class_index(self.target, names, where="target")
        if self.size > min(request.labels.image_shape[1:]):
            raise AuditError(f"size: {self.size} does not fit into images of {request.labels.image_shape}")
        others = train[request.labels.labels[train] != target]
        count = self.of(len(others), what=f"training examples outside class '{names[target]}'")
        ids = draw(others, count, numpy_generator("forget_set", "backdoor", self.draw))
        trigger = {"size": self.size, "corner": self.corner, "value": self.value, "target": target}
        chosen = make("backdoor", self, ids, class_name=names[target])
        return replace(chosen, train_labels=dict.fromkeys(ids.tolist(), target), trigger=trigger)


def stamp(images: np.ndarray, trigger: Mapping[str, Any]) -> np.ndarray:
    """Copies of the images with the trigger on them.

    Args:
        images: `n x C x H x W`, uint8 (0..255) or float in [0, 1].
        trigger: size, corner and value, as `ForgetSet.trigger` holds them.

    Returns:
        Images of the same shape and type; the input is untouched.
    """
    size, corner, value = int(trigger["size"]), str(trigger["corner"]), float(trigger["value"])
    vertical, _, horizontal = corner.partition("_")
    rows = slice(0, size) if vertical == "top" else slice(-size, None)
    columns = slice(0, size) if horizontal == "left" else slice(-size, None)
    stamped = np.array(images)
    stamped[:, :, rows, columns] = round(255 * value) if stamped.dtype == np.uint8 else value
    return stamped
