"""A model's answers on a selection of examples, and the per-example statistics that its objective derives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from tasks.objectives.base import Batch
from tasks.objectives.classify import Classify, log_softmax
from tasks.runtime.modes import evaluating
from tasks.runtime.transfer import MOST_BYTES
from tasks.training.resident import Subset


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A model's answers on `n` examples, in the order of `ids`."""

    ids: np.ndarray
    """`n`, int64."""
    labels: np.ndarray
    """`n`, int64: true labels; documents are all of class 0."""
    logits: np.ndarray
    """`n x K`, float32; of documents `n x 0`: their logits are not kept."""
    statistics: Mapping[str, np.ndarray]
    """`n` each, by name; see `tasks.objectives.base.Objective.statistics`."""
    groups: np.ndarray | None = None
    """`n`, int64: of whom each example is, where the data say so; intervals then count groups."""

    @classmethod
    def of_logits(cls, *, ids: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> Outputs:
        """Answers that are known already, with the statistics of classification."""
        batch = Batch(torch.empty(0), torch.from_numpy(labels), torch.from_numpy(ids))
        found = Classify(logits.shape[1]).statistics(torch.from_numpy(np.ascontiguousarray(logits)), batch)
        return cls(ids=ids, labels=labels, logits=logits, statistics={k: v.numpy() for k, v in found.items()})

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def log_probabilities(self) -> np.ndarray:
        """`n x K`, float64 log-softmax."""
        return log_softmax(self.logits)

    @property
    def keeps_logits(self) -> bool:
        """Whether there are logits, of classes."""
        return self.logits.shape[1] > 0

    @property
    def finite(self) -> bool:
        """Whether no logit, nor a statistic, is infinite or undefined."""
        parts = [self.logits] if self.keeps_logits else list(self.statistics.values())
        return all(bool(np.isfinite(part).all()) for part in parts)

    @property
    def correct(self) -> np.ndarray:
        """`n`, bool."""
        return self.statistics["correct"]

    @property
    def accuracy(self) -> np.ndarray:
        """Share of each example's answers that are right, `n`, float64: of an image 0 or 1, of a document any."""
        known = "token_accuracy" if "token_accuracy" in self.statistics else "correct"
        return self.statistics[known].astype(np.float64)

    @property
    def loss(self) -> np.ndarray:
        """Cross-entropy, `n`, float64; of a document the mean over its tokens."""
        return self.statistics["loss"]

    @property
    def phi(self) -> np.ndarray:
        """Logit-scaled confidence log(p / (1 - p)), `n`, float64 (LiRA, section VI)."""
        return self.statistics["phi"]

    def with_statistic(self, name: str, values: np.ndarray) -> Outputs:
        """The same with one more statistic, `n`."""
        return replace(self, statistics={**self.statistics, name: values})

    def at(self, ids: np.ndarray) -> Outputs:
        """The rows of the given example ids, in their order; ids must be among `self.ids`."""
        order = np.argsort(self.ids)
        rows = order[np.searchsorted(self.ids, ids, sorter=order)]
        return Outputs(
            ids=self.ids[rows],
            labels=self.labels[rows],
            logits=self.logits[rows],
            statistics={name: values[rows] for name, values in self.statistics.items()},
            groups=None if self.groups is None else self.groups[rows],
        )


def score(model: nn.Module, subset: Subset, *, batch_size: int = 1024) -> Outputs:
    """Run the model in eval mode without augmentation; two calls give the same bits.

    Args:
        model: inputs to outputs (images in [0, 1] to `n x K` logits).
        subset: examples to score.
        batch_size: examples per forward pass; fewer where outputs are large.
    """
    score_batches = _with_outputs if subset.data.objective.keeps_outputs else _without_outputs
    with evaluating(model), torch.no_grad():
        return score_batches(model, subset, batch_size)


def _with_outputs(model: nn.Module, subset: Subset, batch_size: int) -> Outputs:
    """Answers with their logits, which the statistics are taken of on the host."""
    logits = list(_fetched(model(batch.inputs).float() for batch in subset.batches(batch_size)))
    ids, labels = subset.ids.cpu(), subset.targets.cpu()
    lengths = [len(part) for part in logits]
    statistics = [
        subset.data.objective.statistics(part, Batch(torch.empty(0), own_labels, own_ids))
        for part, own_labels, own_ids in zip(logits, labels.split(lengths), ids.split(lengths), strict=True)
    ]
    return Outputs(
        ids=ids.numpy(),
        labels=labels.numpy(),
        logits=torch.cat(logits).numpy(),
        statistics=_joined(statistics),
    )


def _without_outputs(model: nn.Module, subset: Subset, batch_size: int) -> Outputs:
    """Statistics alone, batch by batch, where the outputs are: those of no more than a batch are ever held."""
    rows, objective = subset.data.scored(subset, batch_size), subset.data.objective
    statistics = [
        objective.statistics(model(batch.inputs), batch) for batch in subset.data.batches(subset, rows)
    ]
    ids, scored = subset.ids.cpu().numpy(), torch.cat(list(rows)).cpu().argsort()
    return Outputs(
        ids=ids,
        labels=np.zeros(len(ids), dtype=np.int64),
        logits=np.empty((len(ids), 0), dtype=np.float32),
        statistics={name: values[scored.numpy()] for name, values in _joined(statistics).items()},
    )


def _joined(statistics: Sequence[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    return {name: torch.cat([part[name] for part in statistics]).numpy() for name in statistics[0]}


def _fetched(outputs: Iterable[Tensor]) -> Iterator[Tensor]:
    """The outputs of batches on the CPU, many in a copy: the host waits for each, and the device holds no more."""
    held: list[Tensor] = []
    size = 0
    for part in outputs:
        held.append(part)
        size += part.nbytes
        if size >= MOST_BYTES:
            yield torch.cat(held).cpu()
            held, size = [], 0
    if held:
        yield torch.cat(held).cpu()
