"""How a batch of models is trained, and its name in configurations and reports; needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tasks.errors import AuditError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """How a batch of models is executed. Strategies agree up to the rounding of float32 sums."""

    kind: Literal["loop", "grouped"] = "loop"
    """loop: `tasks.training.train`, one model after another, the reference; grouped: in lockstep, by grouped
    convolution and batched matrix product."""
    stack: int = 1
    """Most models in lockstep."""
    channels_last: bool = False
    """Memory layout of a stack's convolutions; models in the loop keep theirs."""

    def __post_init__(self) -> None:
        alone = self.stack == 1 and not self.channels_last
        if self.kind not in ("loop", "grouped") or self.stack < 1 or (self.kind == "loop" and not alone):
            raise AuditError(f"strategy: expected loop, or grouped with a stack of at least 1, got {self}")

    @property
    def name(self) -> str:
        """As configurations and reports have it: loop, grouped:16, grouped:16:channels_last."""
        if self.kind == "loop":
            return self.kind
        return f"grouped:{self.stack}" + (":channels_last" if self.channels_last else "")

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout as torch names it."""
        import torch

        return torch.channels_last if self.channels_last else torch.contiguous_format

    @classmethod
    def parse(cls, name: str) -> Strategy:
        """The strategy of a name.

        Raises:
            AuditError: it is no strategy's name.
        """
        found = re.fullmatch(r"loop|grouped:([1-9]\d*)(:channels_last)?", name)
        if found is None:
            raise AuditError(f"strategy: expected loop or grouped:K[:channels_last], got '{name}'")
        if name == "loop":
            return cls()
        return cls(kind="grouped", stack=int(found[1]), channels_last=found[2] is not None)
