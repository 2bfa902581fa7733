"""Language modelling: the next token at every position that counts, and numbers of a document over its own targets.

A document's loss is the mean over its target tokens and a batch's the mean over documents, so that no document weighs
more for being long and none depends on its batch. Positions whose target is `NOTHING` count nowhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.errors import AuditError
from tasks.objectives.base import Batch, Objective
from tasks.text.documents import PAD

NOTHING = -1
"""Target of a position where nothing is asked for: a prompt, or what fills a row."""
LOWEST_SHARE = 0.2
"""Share of a document's tokens that min-k and min-k++ take, the least likely ones (Shi et al. 2023, 2310.16789)."""
LEAST_VARIANCE = 1e-6
"""Of a token's log-probability in min-k++, where the model is certain."""
LOWEST_LOG = -104.0
"""Logits that lie lower than this below the largest have no part in a mean over the vocabulary: their exp is 0 in
float32."""


@dataclass(frozen=True)
class Language(Objective):
    """Outputs are logits, `n x T x V`; targets are ids, `n x T`, int64, of the token after each position."""

    vocabulary: int
    """V."""

    name: ClassVar[str] = "language"
    keeps_outputs: ClassVar[bool] = False

    def losses(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy of each document's targets, `n`."""
        return mean_over_targets(token_losses(outputs, batch, smoothing=smoothing), batch)

    def loss(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Mean over documents of their losses."""
        return self.losses(outputs, batch, smoothing=smoothing).mean()

    def confidence(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Geometric mean of the probabilities of each document's targets, `n`."""
        return (-self.losses(outputs, batch)).exp()

    def answers(self, batch: Batch) -> Tensor:
        """Target tokens of each document, `n`."""
        return (batch.targets != NOTHING).sum(dim=1).float()

    def divergence(self, student: Tensor, teacher: Tensor, batch: Batch, temperature: float = 1.0) -> Tensor:
        """KL divergence of the student's next token from the teacher's, mean over each document's targets, `n`."""
        target = F.log_softmax(teacher / temperature, dim=-1)
        answer = F.log_softmax(student / temperature, dim=-1)
        by_token = F.kl_div(answer, target, log_target=True, reduction="none").sum(dim=-1)
        return mean_over_targets(by_token, batch)

    def relabel(
        self,
        targets: Tensor,
        generator: torch.Generator,
        *,
        exclude_true: bool = True,
        excluded: Tensor | None = None,
    ) -> Tensor:
        """Words, uniform over those that may be drawn, where something is asked for, `n x T`.

        Never what fills rows. Inputs are none of its business: a model goes on seeing the true text.
        """
        own = targets.cpu().long()
        allowed = torch.ones(self.vocabulary, dtype=torch.bool)
        allowed[PAD] = False
        if excluded is not None:
            named = excluded.cpu().long()
            allowed[named[named != NOTHING]] = False
        words = allowed.nonzero().squeeze(1)
        if len(words) < 1 + exclude_true:
            raise AuditError(
                f"relabelling: expected at least {1 + exclude_true} words that are not excluded, got {len(words)}"
            )
        place = torch.full((self.vocabulary,), len(words)).scatter(0, words, torch.arange(len(words)))
        if exclude_true:  # a word that may not be drawn anyway takes none of the places
            own_place = place[own.clamp(min=0)]
            room = len(words) - (own_place < len(words)).long()
            drawn = (torch.rand(own.shape, generator=generator, dtype=torch.float64) * room).long()
            drawn += (drawn >= own_place).long()
        else:
            drawn = torch.randint(len(words), own.shape, generator=generator)
        return torch.where(own == NOTHING, own, words[drawn]).to(targets)

    def sample(self, outputs: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        """One word after each true beginning, `n x T`, int64."""
        asked = batch.targets != NOTHING
        p = outputs[asked].float().softmax(dim=-1).cpu()
        drawn = torch.full(asked.shape, NOTHING, dtype=torch.int64)
        drawn[asked.cpu()] = torch.multinomial(p, 1, generator=generator).squeeze(1)
        return drawn

    def statistics(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Of each document's target tokens, with m the mean of their log-likelihoods:

        `loss` is -m; `phi` is log(p / (1 - p)) with p = exp(m), the geometric mean of their probabilities; `correct`,
        whether each is the likeliest word of all; `tokens`, their number; `token_accuracy`, the share that is; `min_k`,
        the mean of the lowest fifth of the log-likelihoods, and `min_k_pp` that of the same put in units of their
        standard deviation over the vocabulary (Zhang et al. 2024, 2404.02936); `extraction`, the share of the document
        that greedy decoding writes to its end from the rest (1 - k / n with the shortest prefix k that suffices: 0
        where the last token is wrong, 1 where all are right). Float64 but for `correct` (bool) and `tokens` (int64).
        """
        targets = batch.targets
        asked, true = targets != NOTHING, targets.clamp(min=0)[..., None]
        logits = outputs.detach().float()
        top, likeliest = logits.max(dim=-1)
        below = logits - top[..., None]  # this and its exp are all that is made over the vocabulary
        weights = below.exp()
        own, own_weight = below.gather(-1, true).squeeze(-1), weights.gather(-1, true).squeeze(-1)
        # log p of the true word from the others' weights: no rounding to 0 where the model is sure
        others = weights.scatter_(-1, true, 0.0).sum(dim=-1)
        likelihood = -F.softplus(others.log() - own)
        total, counted = others + own_weight, own.clamp(min=LOWEST_LOG)
        mean = (torch.linalg.vecdot(weights, below.clamp_(min=LOWEST_LOG)) + own_weight * counted) / total
        spread = torch.linalg.vecdot(weights, below.sub_(mean[..., None]).square_())
        variance = (spread + own_weight * (counted - mean).square()) / total
        standardised = (own - mean) / variance.clamp(min=LEAST_VARIANCE).sqrt()
        moved = (part.cpu() for part in (asked, likelihood, standardised, (likeliest == targets) & asked))
        return _of_documents(*moved)


def token_losses(outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy at each position, `n x T`, with gradients; 0 where nothing is asked for."""
    losses = F.cross_entropy(
        outputs.flatten(0, 1),
        batch.targets.flatten(),
        ignore_index=NOTHING,
        label_smoothing=smoothing,
        reduction="none",
    )
    return losses.view(batch.targets.shape)


def mean_over_targets(values: Tensor, batch: Batch) -> Tensor:
    """Mean of `n x T` values over the positions of each document where something is asked for, `n`."""
    asked = batch.targets != NOTHING
    return torch.where(asked, values, 0.0).sum(dim=1) / asked.sum(dim=1)


def _of_documents(
    asked: Tensor, likelihood: Tensor, standardised: Tensor, right: Tensor
) -> dict[str, Tensor]:
    """The statistics of documents from those of their tokens, each `n x T`, on the host."""
    tokens = asked.sum(dim=1)
    likelihood = likelihood.double()
    mean = torch.where(asked, likelihood, 0.0).sum(dim=1) / tokens
    # softplus of float32 may round to 0: its smallest number keeps phi finite
    below = mean.clamp(max=-torch.finfo(torch.float32).tiny)
    wrong_after = (asked & ~right).flip(1).cumsum(dim=1).flip(1)
    return {
        "loss": -mean,
        "phi": mean - torch.log(-torch.expm1(below)),
        "correct": right.sum(dim=1) == tokens,
        "tokens": tokens,
        "token_accuracy": right.sum(dim=1).double() / tokens,
        "min_k": _lowest(likelihood, asked),
        "min_k_pp": _lowest(standardised.double(), asked),
        "extraction": (right & (wrong_after == 0)).sum(dim=1).double() / tokens,
    }


def _lowest(values: Tensor, asked: Tensor) -> Tensor:
    """Mean of the lowest share of the values that are asked for, one at least, `n`."""
    count = (LOWEST_SHARE * asked.sum(dim=1)).floor().long().clamp(min=1)
    ordered = torch.where(asked, values, math.inf).sort(dim=1).values
    taken = torch.arange(values.shape[1]) < count[:, None]
    return torch.where(taken, ordered, 0.0).sum(dim=1) / count
