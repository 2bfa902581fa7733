"""Whether finished originals know their training examples: the sign of the right pixels, classes and constants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from orchestrator.bench.models import build
from orchestrator.plan.cells import Plan
from tasks.datasets.checks import checked_images
from tasks.networks.finished import load_finished
from tasks.networks.models import Classifier
from tasks.statistics.intervals import wilson
from tasks.training.resident import ResidentData
from tasks.training.scoring import score

MOST_EXAMPLES = 1000
"""Of each split, evenly spread over its ids."""


def told_of_originals(plan: Plan) -> list[str]:
    """A line for each given original, on the CPU; it says so where one guesses as chance does."""
    originals = [spec for spec in plan.models.values() if spec.kind == "original" and spec.file is not None]
    if not originals:
        return []
    labels = plan.data.labels
    images = checked_images(plan.data.source, labels)
    chosen = {name: _spread(getattr(plan.data.splits, name)) for name in ("train", "test")}
    ids = np.concatenate([*chosen.values()])
    held = ResidentData.put(images[ids], labels.labels[ids], labels.num_classes, torch.device("cpu"))
    subset = held.subset(np.arange(len(ids)))
    lines = []
    for spec in sorted(originals, key=lambda spec: spec.seed):
        model = build(plan, spec.architecture, ("empty",))
        assert isinstance(model, Classifier)
        assert spec.file is not None
        load_finished(model, spec.file.path)
        correct = score(model, subset).correct
        train, test = correct[: len(chosen["train"])], correct[len(chosen["train"]) :]
        told = f"{_share(train)} training and {_share(test)} test examples right"
        lines.append(f"{spec.file.key}: {told}{''.join(_warning(train, labels.labels[chosen['train']]))}")
    return lines


def _spread(ids: np.ndarray) -> np.ndarray:
    return ids[np.unique(np.linspace(0, len(ids) - 1, MOST_EXAMPLES).round().astype(int))]


def _share(correct: np.ndarray) -> str:
    return f"{int(correct.sum()):,} of {len(correct):,}"


def _warning(correct: np.ndarray, labels: np.ndarray) -> Iterator[str]:
    """What to look at where a model is no better on its training examples than the commonest class."""
    chance = float(np.bincount(labels).max() / len(labels))
    low, _ = wilson(int(correct.sum()), len(correct))
    if float(low) <= chance:
        yield (
            f": AT CHANCE, as always guessing one class has {chance:.2f} of them right. Do the order of classes or of "
            "channels, the pixels, data.mean and data.std, or the stem differ from its training?"
        )
