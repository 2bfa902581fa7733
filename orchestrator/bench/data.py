"""The examples of a sweep on the device of one process, and who sees which of them under which labels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch

from orchestrator.bench.attempt import Stages
from orchestrator.plan.cells import ModelSpec, Plan
from tasks.datasets.base import TextSource
from tasks.datasets.checks import checked_images, checked_inputs, checked_public
from tasks.forget_sets.poisons import stamp
from tasks.shadows.canaries import Canaries
from tasks.shadows.runs import plant_images
from tasks.text.documents import Documents
from tasks.training.documents import ResidentDocuments
from tasks.training.resident import Resident, ResidentData, Subset, images_of


class BenchData:
    """The data set as stages need it.

    Args:
        plan: the whole plan of the sweep.
        stages: of this process.
    """

    def __init__(self, plan: Plan, stages: Stages) -> None:
        self.plan, self.engine = plan, stages.engine
        self._held: OrderedDict[str, Resident] = stages.cache()

    def resident(self, forget_set: str | None) -> Resident:
        """The device-resident data set; a copy with stamped pixels where a backdoor forget set needs one."""
        forget = self.plan.data.forget_sets[forget_set] if forget_set else None
        key = forget_set or "" if forget and forget.trigger else ""

        def make() -> Resident:
            if not (forget and forget.trigger):
                return self._put(checked_inputs(self.plan.data.source, self.plan.data.labels))
            images = self._images().copy()
            images[forget.ids] = stamp(images[forget.ids], forget.trigger)
            return self._put(images)

        return self._kept(key, make)

    def for_shadows(self, canaries: Canaries | None) -> Resident:
        """What shadow models see: the data set, or a copy that holds the images of canaries from elsewhere."""
        if canaries is None or canaries.images is None:
            return self.resident(None)

        def make() -> Resident:
            data = self._put(self._images())
            plant_images(images_of(data), canaries)
            return data

        return self._kept(canaries.digest, make)

    def _images(self) -> np.ndarray:
        return checked_images(self.plan.data.source, self.plan.data.labels)

    def _put(self, inputs: np.ndarray | Documents) -> Resident:
        source, labels, device = self.plan.data.source, self.plan.data.labels, self.engine.device
        if isinstance(inputs, Documents):
            completion = {"completion": source.completion} if isinstance(source, TextSource) else {}
            return ResidentDocuments.put(inputs, labels.vocabulary, device, **completion)
        return ResidentData.put(inputs, labels.labels, labels.num_classes, device)

    def _kept(self, key: str, make: Callable[[], Resident]) -> Resident:
        if key not in self._held:
            self._held[key] = make().made_by(make)
        return self._held[key]

    def training_set(self, spec: ModelSpec) -> Subset:
        """What a model is trained on from scratch, under the labels that it should learn."""
        if spec.kind == "pretrained":
            return self._public()
        ids = self.plan.data.splits.train
        forget = self.plan.data.forget_sets[spec.forget_set] if spec.forget_set else None
        if forget is not None and spec.kind == "retrained":
            ids = np.setdiff1d(ids, forget.ids)
        return self.relabelled(self.resident(spec.forget_set).subset(ids), spec.forget_set)

    def _public(self) -> Subset:
        """What a base is trained on; no stage needs it again."""
        data = self._put(checked_public(self.plan.data.source, self.plan.data.labels))
        return data.subset(np.arange(len(data.held[0])))

    def relabelled(self, subset: Subset, forget_set: str | None) -> Subset:
        """Examples under the labels that a forget set of poisons gives them in training."""
        poisoned = self.plan.data.forget_sets[forget_set].train_labels if forget_set else {}
        if not poisoned:
            return subset
        labels = [
            poisoned.get(i, y) for i, y in zip(subset.ids.tolist(), subset.targets.tolist(), strict=True)
        ]
        return subset.with_targets(torch.tensor(labels, device=subset.targets.device))

    def split(self, forget_set: str, split: str) -> np.ndarray:
        """Ids of the examples of a split; forget and retain are parts of the training set."""
        return self.plan.data.split(forget_set, split)
