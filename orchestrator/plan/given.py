"""What an attack may ask of the data and the models of a plan before any work. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orchestrator.config.settings import SweepConfig
from orchestrator.plan.data import DataPlan
from tasks.attacks.base import Given
from tasks.datasets.base import DataSource, TextSource
from tasks.errors import AuditError


def what_is_given(config: SweepConfig, data: DataPlan, architecture: str, forget_set: str) -> Given:
    """What an attack may ask before any work, of a forget set and an architecture."""
    return Given(
        objective=data.labels.objective,
        num_classes=data.labels.num_classes,
        architecture=architecture,
        has_base=config.pretraining is not None or bool(config.architecture(architecture).weights),
        split=lambda split: data.split(forget_set, split),
        tokens=lambda: _documents(data.source).read_inputs().asked.sum(axis=1),
        alternatives=lambda: _with_alternatives(config, data, architecture),
    )


def _with_alternatives(config: SweepConfig, data: DataPlan, architecture: str) -> np.ndarray:
    """Ids of the documents that come with other answers, of which none is longer than the model's context."""
    source = _documents(data.source)
    found = source.alternatives()
    if found is not None:
        longest = max(data.labels.longest, found.documents.longest)
        config.architecture(architecture).sizes.check(source, replace(data.labels, longest=longest))
    return source.with_alternatives()


def _documents(source: DataSource) -> TextSource:
    if not isinstance(source, TextSource):
        raise AuditError(f"{type(source).__name__}: expected a data set of documents")
    return source
