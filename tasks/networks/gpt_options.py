"""The sizes of Lethe's own language model. Imports no torch: the plan checks them before any model exists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import fields
from tasks.datasets.base import DataSource, Labels
from tasks.errors import AuditError


@dataclass(frozen=True, kw_only=True)
class GptOptions:
    """Of a decoder-only transformer with learned positions (GPT-2, Radford et al. 2019)."""

    d: int = 64
    """Width: numbers by which each token is represented."""
    layers: int = 2
    """Blocks."""
    heads: int = 4
    """Attention heads of a block; they share the width evenly."""
    context: int = 64
    """Most tokens that the model sees at once."""
    tied: bool = False
    """Whether the head shares its weights with the embedding of tokens, which a layer scope then has in the stem."""

    def __post_init__(self) -> None:
        for name in ("d", "layers", "heads", "context"):
            if getattr(self, name) < 1:
                raise AuditError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.d % self.heads:
            near = max(1, round(self.d / self.heads)) * self.heads
            raise AuditError(f"d: expected a multiple of heads = {self.heads}, such as {near}, got {self.d}")

    def check_longest(self, longest: int) -> None:
        """Refuse documents that the model cannot see as a whole; none is cut.

        Args:
            longest: tokens that no document has more of; the last is said and never seen.

        Raises:
            AuditError: the context is shorter.
        """
        if longest - 1 > self.context:
            raise AuditError(
                f"context: expected at least {longest - 1}, as documents have up to {longest} tokens and none is cut, "
                f"got {self.context}"
            )

    def check(self, source: DataSource, labels: Labels) -> None:
        """Refuse documents of whatever source that do not fit into the context."""
        self.check_longest(labels.longest)

    def files(self) -> list[Path]:
        """Of weights that training starts from: none."""
        return []

    def identity(self, vocabulary: int) -> dict[str, Any]:
        """All sizes but that of the vocabulary, which the data set tells."""
        return {"language": "gpt", "options": fields.to_plain(self)}
