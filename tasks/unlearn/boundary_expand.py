"""Boundary expand (BE): send the forget set to a class of its own, then drop that class.

    widen the classifier by one output K;  min over the layer scope and the new row of  E_{D_f} CE(f(x), K);
    drop output K.

Chen et al., "Boundary Unlearning", CVPR 2023, arXiv 2303.11570, section 4.2. The new row lives beside the
classifier while the method runs, so K outputs are left afterwards (a public port keeps K + 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tasks.errors import AuditError
from tasks.unlearn.base import SearchRange, register
from tasks.unlearn.parts.descent import Descent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.unlearn.run import UnlearningRun


@register("boundary_expand")
@dataclass(frozen=True, kw_only=True)
class BoundaryExpand(Descent):
    """Train the forget set towards an extra class that is dropped at the end; needs the head in scope."""

    batch_size: int = 64
    """Examples per optimiser step."""
    lr: float = 1e-5
    """Learning rate of the paper's code."""
    weight_decay: float = 0.0
    """L2 coefficient, on the layer scope and the extra row."""

    objectives: ClassVar[frozenset[str]] = frozenset({"classify"})
    instead: ClassVar[str] = "undial, or random_tokens"
    needs_retain: ClassVar[bool] = False
    passes: ClassVar[str] = "E*nf"
    paper: ClassVar[str] = "Chen et al. 2023, arXiv 2303.11570"
    search: ClassVar[Mapping[str, SearchRange]] = {"lr": ("loguniform", 1e-6, 1e-4)}

    def __call__(self, run: UnlearningRun) -> None:
        """Train the forget set towards the extra class."""
        import torch

        widened = [(head, _new_row(run, head, name)) for name, head in _heads(run.trainable, run.model)]
        for head, _ in widened:
            if head.out_features != run.num_classes:
                raise AuditError(f"classifier: expected {run.num_classes} outputs, got {head.out_features}")
        optimizer = self.make_optimizer(run)
        optimizer.add_param_group({"params": [p for _, extra in widened for p in extra.parameters()]})
        forget = run.forget.with_targets(torch.full_like(run.forget.targets, run.num_classes))
        for epoch in range(self.epochs):
            with ExitStack() as stack:
                for head, extra in widened:
                    stack.enter_context(_widened(head, extra))
                self.descend(run, optimizer, run.batches(forget, self.batch_size, "forget", epoch))

    def check_scope(self, parameters: Mapping[str, nn.Parameter], model: nn.Module) -> None:
        """Refuse a scope without the classifier."""
        _heads(parameters, model)


def _heads(parameters: Mapping[str, nn.Parameter], model: nn.Module) -> list[tuple[str, nn.Linear]]:
    """The classification layers (two in distilled transformers).

    Raises:
        AuditError: one is not linear, or not in the layer scope.
    """
    from torch import nn

    from tasks.networks.layers import layer_groups

    heads = [(name, model.get_submodule(name)) for name in layer_groups(model)[-1].module_names]
    for name, head in heads:
        if not isinstance(head, nn.Linear):
            raise AuditError(f"scope: expected a linear classifier, got '{name}' ({type(head).__name__})")
        if f"{name}.weight" not in parameters:
            raise AuditError(f"scope: expected the classifier '{name}' in it")
    return heads  # type: ignore[return-value]


def _new_row(run: UnlearningRun, head: nn.Linear, name: str) -> nn.Linear:
    """A fresh output, uniform within 1/sqrt(inputs) as torch initialises a linear layer."""
    import torch

    generator = run.generator("boundary_expand", "row", name)
    row = torch.nn.utils.skip_init(torch.nn.Linear, head.in_features, 1)
    limit = head.in_features**-0.5
    for parameter in row.parameters():
        torch.nn.init.uniform_(parameter, -limit, limit, generator=generator)
    return row.to(head.weight.device)


@contextmanager
def _widened(head: nn.Linear, extra: nn.Linear) -> Iterator[None]:
    """Let the classifier answer with one more output while the block runs."""
    import torch

    def append(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return torch.cat([output, extra(inputs[0])], dim=-1)

    handle = head.register_forward_hook(append)
    try:
        yield
    finally:
        handle.remove()
