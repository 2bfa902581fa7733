"""What a kind of forget sets chooses from under the contracts."""

from __future__ import annotations

import numpy as np

from tasks.contracts.small import NUM_CLASSES, small_data
from tasks.contracts.small_text import SOURCE
from tasks.datasets.base import Labels
from tasks.datasets.contents import hash_images
from tasks.datasets.splits import make_splits
from tasks.forget_sets.base import ForgetKind, ForgetRequest
from tasks.objectives.classify import Classify
from tasks.runtime.seeding import numpy_generator

SHAPES = {"features": (8,)}
"""Of scores that are more than one number an example."""
GROUP = 8
"""Images of one group."""


def small_request(kind: ForgetKind) -> ForgetRequest:
    """The 160 small images, or documents for a kind that is for these alone, in splits; with the scores it needs."""
    of_images = not kind.objectives or Classify.name in kind.objectives
    labels = _image_labels() if of_images else SOURCE.read_labels()
    generator = numpy_generator("contracts", "scores")
    return ForgetRequest(
        labels=labels,
        splits=make_splits(labels, validation_fraction=0.1, test_fraction=0.2, seed=0),
        scores={name: generator.random((len(labels.labels), *SHAPES.get(name, ()))) for name in kind.needs},
        hashes=_image_hashes if of_images else SOURCE.content_hashes,
    )


def _image_labels() -> Labels:
    y = small_data().labels.cpu().numpy().astype(np.int64)
    return Labels(
        labels=y,
        is_test=np.zeros(len(y), dtype=bool),
        class_names=tuple(f"class {number}" for number in range(NUM_CLASSES)),
        image_shape=(1, 8, 8),
        coarse_labels=y // 2,
        coarse_names=("low", "high"),
        fine_labels=y,
        fine_names=("a", "b", "c", "d"),
        groups=np.arange(len(y)) // GROUP,
        group_names=tuple(f"group {number}" for number in range(len(y) // GROUP)),
        parts={"first": np.arange(len(y) // 2)},
    )


def _image_hashes() -> np.ndarray:
    return hash_images(small_data().images.cpu().numpy())
