"""Whether finished originals know their training examples: the sign of the right pixels, classes, constants, words."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from orchestrator.bench.models import build
from orchestrator.plan.cells import ModelSpec, Plan
from tasks.datasets.checks import checked_images, checked_inputs
from tasks.networks.finished import load_finished
from tasks.statistics.intervals import wilson
from tasks.text.documents import Documents
from tasks.training.documents import ResidentDocuments
from tasks.training.resident import Resident, ResidentData
from tasks.training.scoring import Outputs, score

MOST_EXAMPLES, LEAST_EXAMPLES = 1000, 200
"""Of each split, evenly spread over its ids: as many as have MOST_PIXELS, but no fewer than that."""
MOST_PIXELS = 1 << 23
MOST_PRODUCTS, LEAST_DOCUMENTS = 1 << 40, 8
"""Of documents as many as take so many products of a weight and a number, which is a minute of a slow processor."""


def told_of_originals(plan: Plan, *, most: int | None = None) -> list[str]:
    """A line for each given original, on the CPU; it says so where its answers have nothing to do with the examples.

    Args:
        plan: of the audit.
        most: originals that are looked at; None: all.
    """
    originals = [spec for spec in plan.models.values() if spec.kind == "original" and spec.file is not None]
    looked_at = sorted(originals, key=lambda spec: spec.seed)[:most]
    tell = _told_of_documents if plan.data.labels.vocabulary else _told_of_images
    return [
        f"{spec.file.key}: {tell(plan, _loaded(plan, spec))}" for spec in looked_at if spec.file is not None
    ]


def _loaded(plan: Plan, spec: ModelSpec) -> nn.Module:
    model = build(plan, spec.architecture, ("empty",))
    assert spec.file is not None
    load_finished(model, spec.file.path)
    return model


def _told_of_images(plan: Plan, model: nn.Module) -> str:
    labels = plan.data.labels
    _, height, width = labels.image_shape
    count = max(LEAST_EXAMPLES, min(MOST_EXAMPLES, MOST_PIXELS // (height * width)))
    ids = [_spread(part, count) for part in (plan.data.splits.train, plan.data.splits.test)]
    chosen = np.concatenate(ids)
    images = checked_images(plan.data.source, labels)[chosen]
    held = ResidentData.put(images, labels.labels[chosen], labels.num_classes, torch.device("cpu"))
    train, test = _scored(model, held, len(ids[0]), len(chosen))
    told = f"{_share(train.correct)} training and {_share(test.correct)} test examples right"
    return f"{told}{_warning_of_images(train.labels, train.logits.argmax(axis=1))}"


def _told_of_documents(plan: Plan, model: nn.Module) -> str:
    documents = checked_inputs(plan.data.source, plan.data.labels)
    assert isinstance(documents, Documents)
    products = sum(p.numel() for p in model.parameters()) * int(documents.lengths.mean())
    count = max(LEAST_DOCUMENTS, min(MOST_EXAMPLES, MOST_PRODUCTS // max(1, 2 * products)))
    ids = [_spread(part, count) for part in (plan.data.splits.train, plan.data.splits.test)]
    chosen = np.concatenate(ids)
    asked, tokens = documents.asked[chosen], documents.tokens[chosen]
    held = ResidentDocuments.put(
        Documents(tokens=tokens, asked=asked, lengths=documents.lengths[chosen]),
        plan.data.labels.vocabulary,
        torch.device("cpu"),
    )
    train, test = _scored(model, held, len(ids[0]), len(chosen))
    shares = [float(np.average(part.accuracy, weights=part.statistics["tokens"])) for part in (train, test)]
    loss = float(np.average(train.loss, weights=train.statistics["tokens"]))
    told = (
        f"{shares[0]:.0%} of the tokens of {len(train):,} training documents and {shares[1]:.0%} of {len(test):,} test "
        "documents right"
    )
    return f"{told}{_warning_of_documents(loss, tokens[: len(ids[0])][asked[: len(ids[0])]])}"


def _scored(model: nn.Module, held: Resident, num_train: int, count: int) -> tuple[Outputs, Outputs]:
    """Answers on what is held: training examples, and the others."""
    found = score(model, held.subset(np.arange(count)))
    return found.at(np.arange(num_train)), found.at(np.arange(num_train, count))


def _spread(ids: np.ndarray, count: int) -> np.ndarray:
    return ids[np.unique(np.linspace(0, len(ids) - 1, count).round().astype(int))]


def _share(right: np.ndarray) -> str:
    return f"{int(right.sum()):,} of {len(right):,}"


def _warning_of_documents(loss: float, tokens: np.ndarray) -> str:
    """What to look at where words are no likelier than by how often each is said, whatever was said before."""
    shares = np.unique(tokens, return_counts=True)[1] / len(tokens)
    entropy = float(-(shares * np.log(shares)).sum())
    if loss < entropy:
        return ""
    return (
        f": AT CHANCE, as the loss of a token is {loss:.2f}, and {entropy:.2f} would be that of answers that know "
        "nothing but how often each word is said. Do the tokenizer, the order of its words, or what begins a document "
        "differ from its training?"
    )


def _warning_of_images(labels: np.ndarray, predicted: np.ndarray) -> str:
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
