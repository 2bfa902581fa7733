"""Lethe's own language model: tokens to float32 logits over the vocabulary at every position, without a cache.

A pre-norm decoder with learned positions and GELU (GPT-2, Radford et al. 2019). Rows may be filled up on the right: no
position sees a later one.
"""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from tasks.networks.gpt_options import GptOptions
from tasks.runtime.seeding import isolated_global_rng

INITIAL_SD = 0.02


class Block(nn.Module):
    """Causal attention and a layer of four times the width, each added to what it reads."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.mix = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.expand, self.contract = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        """`n x T x d` to the same."""
        n, length, d = x.shape
        q, k, v = (
            self.qkv(self.norm1(x)).view(n, length, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        )
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mix(attended.transpose(1, 2).reshape(n, length, d))
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


class Stem(nn.Module):
    """What a token is, and where it stands."""

    def __init__(self, vocabulary: int, context: int, d: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, d), nn.Embedding(context, d)

    def forward(self, tokens: Tensor) -> Tensor:
        """`n x T` ids to `n x T x d`."""
        return self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]


class Gpt(nn.Module):
    """Ids `n x T`, int64, to logits `n x T x V`, float32 whatever the precision of the body."""

    def __init__(self, options: GptOptions, vocabulary: int) -> None:
        super().__init__()
        self.stem = Stem(vocabulary, options.context, options.d)
        self.blocks = nn.ModuleList(Block(options.d, options.heads) for _ in range(options.layers))
        self.norm = nn.LayerNorm(options.d)
        self.head = nn.Linear(options.d, vocabulary, bias=False)
        self._initialise(options.layers)
        if options.tied:
            self.head.weight = self.stem.tokens.weight

    def _initialise(self, layers: int) -> None:
        """Normal weights, smaller where a block adds to its input, and no biases (GPT-2, section 2.3)."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                added = name.endswith(("mix.weight", "contract.weight"))
                nn.init.normal_(parameter, std=INITIAL_SD / (math.sqrt(2 * layers) if added else 1.0))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token after each of `tokens`."""
        x = self.stem(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).float()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Depth as timm has it (`tasks.networks.layers`): stem, blocks with the final norm in the last, head."""
        return {"stem": r"^stem", "blocks": [(r"^blocks\.(\d+)", None), (r"^norm", (99999,))]}

    def get_classifier(self) -> nn.Module:
        """The head; where it is tied, its weights are the stem's."""
        return self.head

    def decoder_blocks(self) -> nn.ModuleList:
        """The blocks, the first first."""
        return self.blocks


def build_gpt(options: GptOptions, *, vocabulary: int, seed_path: tuple[str | int, ...]) -> Gpt:
    """Make a newly initialised model in eval mode.

    Args:
        options: sizes.
        vocabulary: V.
        seed_path: equal paths give equal bits; the global generators are left as they were.
    """
    with isolated_global_rng(*seed_path):
        return Gpt(options, vocabulary).eval()
