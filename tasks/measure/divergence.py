"""How far two resident models' answers are apart on each example: batch by batch, nothing of a vocabulary is kept."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from tasks.runtime.modes import evaluating
from tasks.training.resident import Subset

HELD = 6
"""As many times the outputs of a batch are held at once; batches are so much smaller than in scoring."""


def js_divergences(
    model: nn.Module, reference: nn.Module, subset: Subset, *, batch_size: int = 1024
) -> np.ndarray:
    """Jensen-Shannon divergence of two models' answers, `n`, float64, in nats, at most ln 2.

    Half of the divergence of each from the mixture of both (Lin 1991); of a document the mean over its target tokens.

    Args:
        model, reference: inputs to logits; run in eval mode and restored.
        subset: the examples.
        batch_size: most examples in one pass of both.
    """
    objective = subset.data.objective
    size = max(1, subset.data.most_scored(batch_size) // HELD)
    parts = [torch.empty(0, dtype=torch.float64)]
    with evaluating(model), evaluating(reference), torch.no_grad():
        for batch in subset.batches(size):
            ours, theirs = (one(batch.inputs).float().log_softmax(dim=-1) for one in (model, reference))
            middle = torch.logaddexp(ours, theirs) - math.log(2)
            first, second = (objective.divergence(middle, side, batch) for side in (ours, theirs))
            parts.append(((first + second) / 2).cpu().double())
    return torch.cat(parts).clamp(0.0, math.log(2)).numpy()
