"""The images of a sweep on the device of one process, and who sees which of them under which labels."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch

from orchestrator.bench.attempt import Stages
from orchestrator.plan.cells import ModelSpec, Plan
from tasks.datasets.checks import checked_images
from tasks.forget_sets.poisons import stamp
from tasks.shadows.canaries import Canaries
from tasks.shadows.runs import plant_images
from tasks.training.resident import ResidentData, Subset


class BenchData:
    """The data set as stages need it.

    Args:
        plan: the whole plan of the sweep.
        stages: of this process.
    """

    def __init__(self, plan: Plan, stages: Stages) -> None:
        self.plan, self.engine = plan, stages.engine
        self._held: OrderedDict[str, ResidentData] = stages.cache()

    def resident(self, forget_set: str | None) -> ResidentData:
        """The device-resident data set; a copy with stamped pixels where a backdoor forget set needs one."""
        forget = self.plan.data.forget_sets[forget_set] if forget_set else None
        key = forget_set or "" if forget and forget.trigger else ""
        if key not in self._held:
            images = checked_images(self.plan.data.source, self.plan.data.labels)
            if forget and forget.trigger:
                images = images.copy()
                images[forget.ids] = stamp(images[forget.ids], forget.trigger)
            labels = self.plan.data.labels
            self._held[key] = ResidentData.put(images, labels.labels, labels.num_classes, self.engine.device)
        return self._held[key]

    def for_shadows(self, canaries: Canaries | None) -> ResidentData:
        """What shadow models see: the data set, or a copy that holds the images of canaries from elsewhere."""
        if canaries is None or canaries.images is None:
            return self.resident(None)
        if canaries.digest not in self._held:
            labels = self.plan.data.labels
            images = checked_images(self.plan.data.source, self.plan.data.labels)
            data = ResidentData.put(images, labels.labels, labels.num_classes, self.engine.device)
            plant_images(data, canaries)
            self._held[canaries.digest] = data
        return self._held[canaries.digest]

    def training_set(self, spec: ModelSpec) -> Subset:
        """What a model is trained on from scratch, under the labels that it should learn."""
        ids = self.plan.data.splits.train
        forget = self.plan.data.forget_sets[spec.forget_set] if spec.forget_set else None
        if forget is not None and spec.kind == "retrained":
            ids = np.setdiff1d(ids, forget.ids)
        return self.relabelled(self.resident(spec.forget_set).subset(ids), spec.forget_set)

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
        data = self.plan.data
        if split == "forget":
            return data.forget_sets[forget_set].ids
        if split == "retain":
            return np.setdiff1d(data.splits.train, data.forget_sets[forget_set].ids)
        return getattr(data.splits, data.test_split if split == "test" else split)
