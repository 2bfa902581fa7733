"""With what chance a model's samples go on from the beginning of a document as the document itself does."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tasks.objectives.language import NOTHING
from tasks.training.resident import Subset


def sampled_chances(
    model: nn.Module,
    subset: Subset,
    *,
    prefix: int,
    continuation: int,
    samples: int,
    temperature: float = 1.0,
    batch_size: int = 1024,
) -> tuple[np.ndarray, np.ndarray]:
    """Chance that some of the samples says the true words, by the product of their probabilities under the true text.

    Args:
        model: ids to logits, in eval mode; called without gradients.
        subset: documents.
        prefix: target tokens that are given.
        continuation: target tokens after them that a sample has to say.
        samples: of each document.
        temperature: by which logits are divided.
        batch_size: most documents in one pass.

    Returns:
        Ids of the documents that have so many tokens, `n`, int64, and the chance of each, `n`, float64.
    """
    ids, logs = [], []
    with torch.no_grad():
        for batch in subset.batches(subset.data.most_scored(batch_size)):
            by_word = (model(batch.inputs).float() / temperature).log_softmax(dim=-1)
            likelihood = by_word.gather(-1, batch.targets.clamp(min=0)[..., None]).squeeze(-1)
            asked = batch.targets != NOTHING
            place = asked.cumsum(dim=1)
            inside = asked & (place > prefix) & (place <= prefix + continuation)
            whole = inside.sum(dim=1) == continuation
            ids.append(batch.ids[whole].cpu())
            logs.append(torch.where(inside, likelihood, 0.0).sum(dim=1)[whole].cpu().double())
    p = torch.cat(logs).exp().clamp(max=1.0).numpy()
    with np.errstate(divide="ignore"):  # a certain continuation: log 0
        return torch.cat(ids).numpy(), -np.expm1(samples * np.log1p(-p))
