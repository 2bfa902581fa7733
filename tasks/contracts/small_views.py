"""Small views for the contracts of attacks: the small original beside a copy, and simulated shadow models."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import nn

from tasks.attacks.base import Attack
from tasks.attacks.views import ModelView, ShadowView
from tasks.contracts.small import small_data, small_original
from tasks.contracts.small_text import SOURCE, small_documents, small_language_original
from tasks.measure.divergence import js_divergences
from tasks.measure.evaluate import Settings
from tasks.objectives.classify import Classify
from tasks.runtime.devices import DeviceName
from tasks.runtime.seeding import numpy_generator
from tasks.shadows.canaries import Canaries, mislabelled_canaries
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.observations import Observations, RunBlock, State
from tasks.text.alternatives import Alternatives
from tasks.text.documents import documents
from tasks.training.documents import ResidentDocuments
from tasks.training.resident import Subset
from tasks.training.scoring import Outputs, score

SETTINGS = Settings(bootstrap=20, fprs=(0.1,), mia_examples=40, batch_size=64)
SPLITS = {
    "forget": np.arange(20),
    "retain": np.arange(20, 100),
    "test": np.arange(100, 140),
    "validation": np.arange(140, 160),
}
SHADOWS, TARGETS, CANARIES, TRAINED, TESTS = 24, 24, 12, 60, 20


@dataclass(frozen=True)
class SmallModel:
    """A `ModelSource` of the small original, compared with a copy of itself without the bias of its head."""

    model: nn.Module
    device: DeviceName = "cpu"
    """Where the model is."""
    forgotten_classes: tuple[int, ...] = ()

    groups: np.ndarray | None = None

    @property
    def labels(self) -> np.ndarray:
        """True labels, by example id."""
        return small_data().labels.numpy()

    def outputs(self) -> dict[str, Outputs]:
        """Answers of the model by split."""
        return {split: score(self.model, self.subset(split)) for split in SPLITS}

    def reference_outputs(self) -> dict[str, Outputs]:
        """Answers of the other model on the same examples."""
        other = copy.deepcopy(self.model)
        torch.nn.init.zeros_(other.get_parameter("head.bias"))
        return {split: score(other, self.subset(split)) for split in SPLITS}

    def subset(self, split: str) -> Subset:
        """Images of a split."""
        return small_data(self.device).subset(SPLITS[split])

    def base_outputs(self) -> dict[str, Outputs]:
        """Of the retrained model: images have no base."""
        return self.reference_outputs()

    def compressed_bytes(self) -> np.ndarray:
        """Images have no text."""
        return np.ones(len(self.labels), dtype=np.int64)

    def js_to_reference(self, split: str) -> np.ndarray:
        """Of images both models' logits are kept instead."""
        return np.zeros(len(SPLITS[split]))

    def alternatives(self) -> None:
        """Images have none."""

    def alternative_losses(self) -> np.ndarray:
        """Images have none."""
        return np.empty(0)

    def reference_alternative_losses(self) -> np.ndarray:
        """Images have none."""
        return np.empty(0)


@dataclass(frozen=True)
class SmallLanguageModel:
    """A `ModelSource` of the small original of documents, compared with a copy of itself without its last norm."""

    model: nn.Module
    device: DeviceName = "cpu"
    """Where the model is."""
    forgotten_classes: tuple[int, ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """Documents are all of class 0."""
        return SOURCE.read_labels().labels

    @property
    def groups(self) -> np.ndarray | None:
        """Of whom each document is."""
        return SOURCE.read_labels().groups

    def outputs(self) -> dict[str, Outputs]:
        """Answers of the model by split."""
        return {split: score(self.model, self.subset(split)) for split in _document_splits()}

    @property
    def reference(self) -> nn.Module:
        """The other model."""
        other = copy.deepcopy(self.model)
        torch.nn.init.zeros_(other.get_parameter("norm.bias"))
        return other

    def reference_outputs(self) -> dict[str, Outputs]:
        """Answers of the other model on the same documents."""
        other = self.reference
        return {split: score(other, self.subset(split)) for split in _document_splits()}

    def subset(self, split: str) -> Subset:
        """Documents of a split."""
        return small_documents(self.device).subset(_document_splits()[split])

    def base_outputs(self) -> dict[str, Outputs]:
        """Of the other model, as if training had started from it."""
        return self.reference_outputs()

    def compressed_bytes(self) -> np.ndarray:
        """Of each document's text after zlib."""
        said = [SOURCE.said(example).encode() for example in range(len(self.labels))]
        return np.array([len(zlib.compress(text)) for text in said])

    def js_to_reference(self, split: str) -> np.ndarray:
        """From the other model."""
        return js_divergences(self.model, self.reference, self.subset(split))

    def alternatives(self) -> Alternatives:
        """Of every document: its words moved on by one, by six and by ten."""
        found, vocabulary = SOURCE.read_inputs(), SOURCE.read_labels().vocabulary
        ids = [found.ids(example) for example in range(len(found))]
        moved = [[(i + by) % (vocabulary - 1) + 1 for i in row] for row in ids for by in (0, 5, 9)]
        return Alternatives(
            example=np.repeat(np.arange(len(ids)), 3),
            right=np.tile([True, False, False], len(ids)),
            documents=documents(moved),
        )

    def alternative_losses(self) -> np.ndarray:
        """Of the model."""
        return self._losses(self.model)

    def reference_alternative_losses(self) -> np.ndarray:
        """Of the other model."""
        return self._losses(self.reference)

    def _losses(self, model: nn.Module) -> np.ndarray:
        device = small_documents(self.device).device
        vocabulary = SOURCE.read_labels().vocabulary
        data = ResidentDocuments.put(self.alternatives().documents, vocabulary, device)
        return score(model, data.subset(np.arange(len(data.lengths)))).loss


def _document_splits() -> dict[str, np.ndarray]:
    labels = SOURCE.read_labels()
    assert labels.groups is not None
    forgotten, tests = labels.groups < 6, np.flatnonzero(labels.is_test)
    return {
        "forget": np.flatnonzero(forgotten),
        "retain": np.flatnonzero(~forgotten & ~labels.is_test),
        "test": tests[4:],
        "validation": tests[:4],
    }


class SmallShadows:
    """A `ShadowSource` of simulated shadow models, whose phi is normal around each example's own difficulty.

    Args:
        canaries: whether what is unlearned are the canaries, and not the targets.
    """

    reference: Literal["itself", "retrained", "base"] = "retrained"

    def __init__(self, *, canaries: bool) -> None:
        self._pool = "canaries" if canaries else "targets"
        self.labels: np.ndarray = np.arange(TRAINED + TESTS) % 4
        self.forget_ids: np.ndarray = np.arange(TARGETS)

    @cached_property
    def canaries(self) -> Canaries:
        """Mislabelled, none of them a target."""
        return mislabelled_canaries(
            np.arange(TRAINED),
            self.labels[:TRAINED],
            count=CANARIES,
            num_classes=4,
            seed=0,
            exclude=self.forget_ids,
            inclusion="independent",
        )

    @cached_property
    def _layout(self) -> ShadowLayout:
        pools = (
            TargetPool(name="targets", ids=self.forget_ids, forget_size=0),
            TargetPool(name="canaries", ids=self.canaries.ids, forget_size=0),
        )
        return ShadowLayout(
            train_ids=np.arange(TRAINED),
            labels=self.labels[:TRAINED],
            num_shadows=SHADOWS,
            pools=pools,
            canaries=self.canaries,
        )

    @property
    def planned(self) -> tuple[int, int]:
        """Shadow models, and draws of each."""
        return SHADOWS, 1

    def base(self) -> Observations:
        """Of the shadow models as trained."""
        return self._observe("none", "", shift=2.0)

    def unlearned(self) -> Observations:
        """Of the models of the cell, which forgot in part."""
        return self._observe("small", self._pool, shift=1.0)

    def retrained(self) -> Observations:
        """Of the retrained models."""
        return self._observe("retrained", self._pool, shift=0.0)

    def _observe(self, method: str, pool: str, *, shift: float) -> Observations:
        """Retained examples have a phi of 2 above the unseen, unlearned ones of `shift`."""
        ids = np.arange(TRAINED + TESTS)
        difficulty = numpy_generator("contracts", "difficulty").normal(0, 2, len(ids))
        blocks = []
        for shadow in range(SHADOWS):
            state = self._layout.states(shadow, ids, pool=pool)
            noise = numpy_generator("contracts", "phi", method, shadow).normal(size=len(ids))
            above = np.where(state == State.RETAINED, 2.0, np.where(state == State.UNLEARNED, shift, 0.0))
            phi = (difficulty + above + noise).astype(np.float32)
            blocks.append(RunBlock(shadow=shadow, draw=0, state=state, phi=phi))
        return Observations.from_blocks(blocks, method=method, scope="all", family=pool, example_ids=ids)


def small_view(attack: Attack, device: DeviceName = "cpu") -> ModelView | ShadowView:
    """What an attack would see of a small cell.

    Raises:
        AuditError: it needs what no such view offers.
    """
    name = type(attack).__name__
    if attack.subject == "shadow_models":
        shadows = SmallShadows(canaries=attack.forgets_canaries)
        return ShadowView(attack, shadows, name=name, settings=SETTINGS)
    source = small_source(attack, device)
    return ModelView(attack, source, name=name, settings=SETTINGS)


def small_source(attack: Attack, device: DeviceName = "cpu") -> SmallModel | SmallLanguageModel:
    """A model that an attack can measure: of images, or of documents where it is for these alone."""
    if not attack.objectives or Classify.name in attack.objectives:
        return SmallModel(small_original(device), device)
    return SmallLanguageModel(small_language_original(device), device)
