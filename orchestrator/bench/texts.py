"""What cells ask of documents beside a model's answers on them: their text, and other answers to their questions."""

from __future__ import annotations

import zlib
from collections import OrderedDict

import numpy as np

from orchestrator.bench.attempt import Stages
from orchestrator.bench.models import ModelBench
from orchestrator.plan.cells import Plan
from tasks.datasets.base import TextSource
from tasks.errors import AuditError, Diverged
from tasks.text.alternatives import Alternatives
from tasks.training.documents import ResidentDocuments
from tasks.training.scoring import score

KEPT_LOSSES = 8
"""Models whose losses on other answers a process keeps."""


class Texts:
    """The documents of one plan as text.

    Args:
        plan: the whole plan of the sweep.
        stages: of this process.
        models: the models of the sweep.
    """

    def __init__(self, plan: Plan, stages: Stages, models: ModelBench) -> None:
        self._plan, self._models, self._device = plan, models, stages.engine.device
        self._losses: OrderedDict[str, np.ndarray] = stages.cache()

    def forget(self) -> None:
        """Keep no losses of models."""
        self._losses.clear()

    @property
    def _source(self) -> TextSource:
        source = self._plan.data.source
        if not isinstance(source, TextSource):
            raise AuditError(f"{type(source).__name__}: expected a data set of documents")
        return source

    def compressed_bytes(self) -> np.ndarray:
        """Bytes of what each document says after zlib, by example id, int64."""
        count = len(self._plan.data.labels.labels)
        said = (self._source.said(example) for example in range(count))
        return np.fromiter((len(zlib.compress(text.encode("utf-8"))) for text in said), np.int64, count)

    def alternatives(self) -> Alternatives | None:
        """Other answers to the questions of some examples."""
        return self._source.alternatives()

    def alternative_losses(self, model_id: str) -> np.ndarray:
        """Mean loss of a model over the tokens of each of these answers, `M`.

        Raises:
            AuditError: there are none.
            Diverged: a loss is not finite.
        """
        if model_id not in self._losses:
            found = self.alternatives()
            if found is None:
                raise AuditError(f"{type(self._source).__name__}: expected other answers, found none")
            vocabulary = self._plan.data.labels.vocabulary
            data = ResidentDocuments.put(found.documents, vocabulary, self._device)
            everything = data.subset(np.arange(len(found.documents)))
            size = self._plan.config.evaluation.batch_size
            outputs = score(self._models.get(model_id), everything, batch_size=size)
            if not outputs.finite:
                raise Diverged("the model's logits are not finite; lower the learning rate of its method")
            self._losses[model_id] = outputs.loss
            while len(self._losses) > KEPT_LOSSES:
                self._losses.popitem(last=False)
        self._losses.move_to_end(model_id)
        return self._losses[model_id]
