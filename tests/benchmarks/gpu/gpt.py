"""A small GPT and its data as the training loop takes them: no objective for text is in `tasks/` yet."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from tasks.objectives.base import Batch
from tasks.objectives.classify import Classify
from tasks.training.resident import ResidentData


class Block(nn.Module):
    """Attention to earlier tokens, then a perceptron, each on what a layer norm gives."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """`n x T x width` to the same shape."""
        heads = self.qkv(self.norms[0](x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norms[1](x))


class GPT(nn.Module):
    """Token numbers `n x T` to logits `n x T x V`; learned positions, no dropout."""

    def __init__(self, width: int, depth: int, heads: int, *, vocabulary: int, length: int) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.body = nn.Sequential(*(Block(width, heads) for _ in range(depth)), nn.LayerNorm(width))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each."""
        return self.head(self.body(self.embed(tokens) + self.place.weight[: tokens.shape[1]]))


@dataclass(frozen=True)
class NextToken(Classify):
    """Cross-entropy of every next token; inputs are token numbers, `n x T`, and their own targets."""

    def losses(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Mean over the tokens of each example, `n`."""
        found = F.cross_entropy(*_shifted(outputs, batch), label_smoothing=smoothing, reduction="none")
        return found.view(len(outputs), -1).mean(dim=1)

    def loss(self, outputs: Tensor, batch: Batch, *, smoothing: float = 0.0) -> Tensor:
        """Mean over all tokens."""
        return F.cross_entropy(*_shifted(outputs, batch), label_smoothing=smoothing)


def _shifted(outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    return outputs[:, :-1].flatten(0, 1), batch.inputs[:, 1:].flatten()


class Sequences(ResidentData):
    """Token numbers in place of pixels; labels are not read."""

    @property
    def objective(self) -> NextToken:
        """What models of this data are trained for."""
        return NextToken(self.num_classes)
