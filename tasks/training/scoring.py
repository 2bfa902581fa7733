"""A model's answers on a selection of examples, and the per-example statistics that its objective derives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

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
    """`n`, int64: true labels."""
    logits: np.ndarray
    """`n x K`, float32."""
    statistics: Mapping[str, np.ndarray]
    """`n` each, by name; see `tasks.objectives.base.Objective.statistics`."""

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
    def correct(self) -> np.ndarray:
        """`n`, bool."""
        return self.statistics["correct"]

    @property
    def loss(self) -> np.ndarray:
        """Cross-entropy, `n`, float64."""
        return self.statistics["loss"]

    @property
    def phi(self) -> np.ndarray:
        """Logit-scaled confidence z_y - logsumexp of the other logits, `n`, float64 (LiRA, section VI)."""
        return self.statistics["phi"]

    def at(self, ids: np.ndarray) -> Outputs:
        """The rows of the given example ids, in their order; ids must be among `self.ids`."""
        order = np.argsort(self.ids)
        rows = order[np.searchsorted(self.ids, ids, sorter=order)]
        return Outputs(
            ids=self.ids[rows],
            labels=self.labels[rows],
            logits=self.logits[rows],
            statistics={name: values[rows] for name, values in self.statistics.items()},
        )


def score(model: nn.Module, subset: Subset, *, batch_size: int = 1024) -> Outputs:
    """Run the model in eval mode without augmentation; two calls give the same bits.

    Args:
        model: images in [0, 1] to `n x K` logits.
        subset: examples to score.
        batch_size: examples per forward pass.
    """
    with evaluating(model), torch.no_grad():
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
        statistics={name: torch.cat([part[name] for part in statistics]).numpy() for name in statistics[0]},
    )


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
