"""Logits of a model on a selection of examples, and the per-example statistics derived from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tasks.runtime.modes import evaluating
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

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def log_probabilities(self) -> np.ndarray:
        """`n x K`, float64 log-softmax."""
        z = self.logits.astype(np.float64)
        z = z - z.max(axis=1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    @property
    def probabilities(self) -> np.ndarray:
        """`n x K`, float64 softmax."""
        return np.exp(self.log_probabilities)

    @property
    def correct(self) -> np.ndarray:
        """`n`, bool."""
        return self.logits.argmax(axis=1) == self.labels

    @property
    def loss(self) -> np.ndarray:
        """Cross-entropy, `n`, float64."""
        return -self.log_probabilities[np.arange(len(self)), self.labels]

    @property
    def phi(self) -> np.ndarray:
        """Logit-scaled confidence z_y - logsumexp of the other logits, `n`, float64 (LiRA, section VI)."""
        z = self.logits.astype(np.float64)
        rows = np.arange(len(self))
        true = z[rows, self.labels]
        others = z.copy()
        others[rows, self.labels] = -np.inf
        top = others.max(axis=1)
        return true - top - np.log(np.exp(others - top[:, None]).sum(axis=1))

    def at(self, ids: np.ndarray) -> Outputs:
        """The rows of the given example ids, in their order; ids must be among `self.ids`."""
        order = np.argsort(self.ids)
        rows = order[np.searchsorted(self.ids, ids, sorter=order)]
        return Outputs(ids=self.ids[rows], labels=self.labels[rows], logits=self.logits[rows])


def score(model: nn.Module, subset: Subset, *, batch_size: int = 1024) -> Outputs:
    """Run the model in eval mode without augmentation; two calls give the same bits.

    Args:
        model: images in [0, 1] to `n x K` logits.
        subset: examples to score.
        batch_size: examples per forward pass.
    """
    with evaluating(model), torch.no_grad():
        logits = [model(batch.images).float().cpu() for batch in subset.batches(batch_size)]
    return Outputs(
        ids=subset.ids.cpu().numpy(),
        labels=subset.labels.cpu().numpy(),
        logits=torch.cat(logits).numpy(),
    )
