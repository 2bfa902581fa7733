"""NoT: negate the weights of the first layer, then fine-tune on the retain set.

    theta_l <- -theta_l for the first layers l;   min over the layer scope of  E_{D_r} CE(f(x), y)

Khalil et al., "NoT: Federated Unlearning via Weight Negation", CVPR 2025, arXiv 2503.05657. Evidence:
abstract [P]; definition, and the first layer as the default, in a note on the paper [2] and in a public
re-implementation that negates the weight of the first convolution [C]. The paper is about federated
learning; its centralised use is fine-tuning with one client, with the settings of plain fine-tuning here
[inf]. A layer is a module with a weight of two or more dimensions (convolution, linear, patch embedding)
that the layer scope holds: under a narrower scope it is the first layer *of the scope* [inf].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.unlearn.base import SearchRange, register, require
from tasks.unlearn.parts.descent import Descent
from tasks.unlearn.parts.recovery import recover

if TYPE_CHECKING:
    from torch import nn

    from tasks.unlearn.run import UnlearningRun


@register("not")
@dataclass(frozen=True, kw_only=True)
class NoT(Descent):
    """Negate the first layer's weights, then fine-tune on the retain set."""

    layers: int = 1
    """How many layers are negated, in the order in which the model defines them."""

    needs_retain: ClassVar[bool] = True
    edits_weights: ClassVar[bool] = True
    passes: ClassVar[str] = "E*nr"
    paper: ClassVar[str] = "Khalil et al. 2025, arXiv 2503.05657"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-3, 1e-1)}

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.layers >= 1, "layers", "at least 1", self.layers)

    def __call__(self, run: UnlearningRun) -> None:
        """Negate, then recover."""
        import torch

        with torch.no_grad():
            for weight in self.negated(run.trainable):
                weight.neg_()
        recover(self, run, lambda _epoch: 1.0)

    def check_scope(self, parameters: Mapping[str, nn.Parameter], model: nn.Module) -> None:
        """Refuse a scope with fewer layers than are negated."""
        self.negated(parameters)

    def negated(self, parameters: Mapping[str, nn.Parameter]) -> list[nn.Parameter]:
        """Those of the scope's parameters that are negated.

        Raises:
            AuditError: the scope holds fewer layers with weights than asked for.
        """
        weights = [p for name, p in parameters.items() if name.endswith("weight") and p.dim() >= 2]
        if len(weights) < self.layers:
            raise AuditError(f"layers: expected at most {len(weights)} under this scope, got {self.layers}")
        return weights[: self.layers]
