"""Whether finished originals know their training examples: the sign of the right pixels, classes and constants."""

from __future__ import annotations

import numpy as np
import torch

from orchestrator.bench.models import build
from orchestrator.plan.cells import Plan
from tasks.datasets.checks import checked_images
from tasks.networks.finished import load_finished
from tasks.networks.models import Classifier
from tasks.statistics.intervals import wilson
from tasks.training.resident import ResidentData, Subset
from tasks.training.scoring import score

MOST_EXAMPLES, LEAST_EXAMPLES = 1000, 200
"""Of each split, evenly spread over its ids: as many as have MOST_PIXELS, but no fewer than that."""
MOST_PIXELS = 1 << 23


def told_of_originals(plan: Plan, *, most: int | None = None) -> list[str]:
    """A line for each given original, on the CPU; it says so where its answers have nothing to do with the labels.

    Args:
        plan: of the audit.
        most: originals that are looked at; None: all.
    """
    originals = [spec for spec in plan.models.values() if spec.kind == "original" and spec.file is not None]
    looked_at = sorted(originals, key=lambda spec: spec.seed)[:most]
    if not looked_at:
        return []
    subset, num_train = _examples(plan)
    lines = []
    for spec in looked_at:
        model = build(plan, spec.architecture, ("empty",))
        assert isinstance(model, Classifier)
        assert spec.file is not None
        load_finished(model, spec.file.path)
        found = score(model, subset)
        right, predicted = found.correct, found.logits.argmax(axis=1)
        told = f"{_share(right[:num_train])} training and {_share(right[num_train:])} test examples right"
        warning = _warning(found.labels[:num_train], predicted[:num_train])
        lines.append(f"{spec.file.key}: {told}{warning}")
    return lines


def _examples(plan: Plan) -> tuple[Subset, int]:
    """Training examples, then test examples; and how many the former are."""
    labels = plan.data.labels
    _, height, width = labels.image_shape
    count = max(LEAST_EXAMPLES, min(MOST_EXAMPLES, MOST_PIXELS // (height * width)))
    train, test = (_spread(ids, count) for ids in (plan.data.splits.train, plan.data.splits.test))
    ids = np.concatenate([train, test])
    images = checked_images(plan.data.source, labels)[ids]
    held = ResidentData.put(images, labels.labels[ids], labels.num_classes, torch.device("cpu"))
    return held.subset(np.arange(len(ids))), len(train)


def _spread(ids: np.ndarray, count: int) -> np.ndarray:
    return ids[np.unique(np.linspace(0, len(ids) - 1, count).round().astype(int))]


def _share(right: np.ndarray) -> str:
    return f"{int(right.sum()):,} of {len(right):,}"


def _warning(labels: np.ndarray, predicted: np.ndarray) -> str:
    """What to look at where no more answers are right than of labels that are dealt out anew among the examples."""
    classes = max(labels.max(), predicted.max()) + 1
    shares = [np.bincount(part, minlength=classes) / len(part) for part in (labels, predicted)]
    chance = float(shares[0] @ shares[1])
    low, _ = wilson(int((labels == predicted).sum()), len(labels))
    if float(low) > chance:
        return ""
    return (
        f": AT CHANCE, as answers that have nothing to do with the images would have {chance:.2f} of them right. Do "
        "the order of classes or of channels, the pixels, data.mean and data.std, or the stem differ from its training?"
    )
