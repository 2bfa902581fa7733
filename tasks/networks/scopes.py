"""Layer scopes: which parameters unlearning may change, and the contract that nothing else moves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from tasks.errors import AuditError, and_more
from tasks.networks.layers import LayerGroup, batch_norms, layer_groups, norm_layers
from tasks.networks.scope_text import Term, parse_scope

NormStatistics = Literal["update", "freeze"]


class ScopeViolation(AuditError):
    """A tensor outside the layer scope changed during unlearning: a defect of the method."""


@dataclass(frozen=True, kw_only=True)
class BoundScope:
    """A layer scope bound to the names of one architecture.

    Batch norms with no parameter in scope stay in eval mode, so their running statistics stand still; those
    with one follow `norm_statistics`. Dropout is active in train mode everywhere, as in training.
    """

    text: str
    norm_statistics: NormStatistics
    names: tuple[str, ...]
    """Parameters in scope, in the model's order."""
    buffer_names: tuple[str, ...]
    """Buffers that may move: statistics of batch norms in scope."""
    tied_names: tuple[str, ...]
    """Further names of parameters in scope, of which several modules are made (shared position encodings)."""
    num_parameters: int
    """Numbers in scope."""
    still: frozenset[str]
    """Batch norms that stay in eval mode."""
    requires_grad: Mapping[str, bool] = field(repr=False)
    """The gradient switch of every parameter before unlearning."""

    def apply(self, model: nn.Module) -> None:
        """Switch gradients on in scope and off outside, and enter train mode."""
        inside = set(self.names)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in inside)
            parameter.grad = None
        self.train(model)

    def train(self, model: nn.Module) -> None:
        """Train mode, but for the batch norms that stand still."""
        model.train()
        for name, module in batch_norms(model):
            if name in self.still:
                module.eval()

    def evaluate(self, model: nn.Module) -> None:
        """Eval mode throughout."""
        model.eval()

    def release(self, model: nn.Module) -> None:
        """Eval mode, gradients dropped and their switches as they were at binding."""
        model.eval()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.requires_grad[name])
            parameter.grad = None

    def parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters in scope, by name, in the model's order."""
        inside = set(self.names)
        return {name: p for name, p in model.named_parameters() if name in inside}

    def buffers(self, model: nn.Module) -> dict[str, Tensor]:
        """The buffers that may move, by name."""
        inside = set(self.buffer_names)
        return {name: b for name, b in model.named_buffers() if name in inside}

    @property
    def movable(self) -> set[str]:
        """Every name in a state dict of what unlearning may change."""
        return {*self.names, *self.tied_names, *self.buffer_names}

    def verify(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Check that every tensor outside the scope, parameter or buffer, kept its bits.

        Args:
            before: state dict of the original.
            after: state dict of the unlearned model.

        Raises:
            ScopeViolation: a tensor outside the scope changed, appeared, or is missing.
        """
        movable = self.movable
        odd = sorted(before.keys() ^ after.keys())
        held = [name for name in before if name in after and name not in movable]
        changed = _changed({name: (before[name], after[name]) for name in held})
        reshaped = [n for n in movable & before.keys() & after.keys() if before[n].shape != after[n].shape]
        for problem, names in (("names differ", odd), ("changed", changed), ("another shape", reshaped)):
            if names:
                raise ScopeViolation(
                    f"scope '{self.text}': {problem} outside what unlearning may change: '{names[0]}'"
                    f"{and_more(names)}"
                )


def _changed(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> list[str]:
    """Names of pairs that differ in shape, type or bits; the device is asked once for all."""
    alike = {name: a.shape == b.shape and a.dtype == b.dtype for name, (a, b) in pairs.items()}
    flags = [(_bits(a) != _bits(b)).any() for name, (a, b) in pairs.items() if alike[name]]
    differing = iter(torch.stack(flags).tolist() if flags else [])
    return [name for name in pairs if not alike[name] or next(differing)]


def _bits(tensor: Tensor) -> Tensor:
    """The numbers as integers, among which NaN equals itself and 0 is not -0."""
    if not tensor.is_floating_point():
        return tensor
    return tensor.view(
        {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    )


def bind(text: str, model: nn.Module, *, norm_statistics: NormStatistics = "update") -> BoundScope:
    """Resolve a layer scope against a model.

    Args:
        text: see `tasks.networks.scope_text.parse_scope`.
        model: the original, in the state that `BoundScope.release` shall restore.
        norm_statistics: whether batch norms in scope move their running statistics (update), or normalise by
            the original's (freeze).

    Raises:
        AuditError: the text is no scope, a block does not exist, or no parameter is in scope.
    """
    if norm_statistics not in ("update", "freeze"):
        raise AuditError(f"norm_statistics: expected update or freeze, got '{norm_statistics}'")
    groups = layer_groups(model)
    inside = set().union(*(_select(term, text, model, groups) for term in parse_scope(text)))
    parameters = dict(model.named_parameters())
    held = {id(parameters[name]) for name in inside}
    every = model.named_parameters(remove_duplicate=False)
    if not inside:
        raise AuditError(f"scope '{text}': no parameter of this architecture is in it")
    still, moving = _split_batch_norms(model, inside, norm_statistics)
    return BoundScope(
        text=text,
        norm_statistics=norm_statistics,
        names=tuple(name for name in parameters if name in inside),
        buffer_names=tuple(name for name, _ in model.named_buffers() if name.rpartition(".")[0] in moving),
        tied_names=tuple(name for name, p in every if id(p) in held and name not in inside),
        num_parameters=sum(parameters[name].numel() for name in inside),
        still=still,
        requires_grad={name: p.requires_grad for name, p in parameters.items()},
    )


def _split_batch_norms(
    model: nn.Module, inside: set[str], norm_statistics: NormStatistics
) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the batch norms that stand still, and of those that move."""
    names = [name for name, _ in batch_norms(model)]
    owners = {name.rpartition(".")[0] for name in inside}
    moving = frozenset(n for n in names if n in owners and norm_statistics == "update")
    return frozenset(names) - moving, moving


def _select(term: Term, text: str, model: nn.Module, groups: list[LayerGroup]) -> set[str]:
    if term.kind == "regex":
        return {name for name, _ in model.named_parameters() if re.search(term.text, name)}
    if term.text == "all":
        return {name for name, _ in model.named_parameters()}
    if term.text in ("norm-only", "conv-only"):
        return _of_layers(model, term.text) - _named("head", groups)
    if term.text == "head" and not _named("head", groups):
        raise AuditError(
            f"scope '{text}': the head shares its weights with the stem; take early, which holds them"
        )
    chosen = _blocks(term, text, sum(group.name.startswith("block:") for group in groups))
    return set().union(*(_named(group, groups) for group in chosen))


def _named(group: str, groups: list[LayerGroup]) -> set[str]:
    """Parameters of the group of a name; none where no such group is."""
    return {name for found in groups if found.name == group for name in found.parameter_names}


def _of_layers(model: nn.Module, kind: str) -> set[str]:
    """Parameters of the norm layers, or of the convolutions; one of these may be the head."""
    if kind == "norm-only":
        layers = norm_layers(model)
    else:
        layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.modules.conv._ConvNd)]
    return {f"{n}.{p}" for n, module in layers for p, _ in module.named_parameters(recurse=False)}


def _blocks(term: Term, text: str, count: int) -> set[str]:
    """Group names of a term over `count` blocks."""
    if term.kind == "last-k":
        _check_block(term.first - 1, text, f"{term.text} of", count)
        return {f"block:{i}" for i in range(count - term.first, count)} | {"head"}
    if term.kind == "blocks":
        _check_block(term.last, text, f"block {term.last} of", count)
        return {f"block:{i}" for i in range(term.first, term.last + 1)}
    if term.text == "head":
        return {"head"}
    third = ("early", "intermediate", "last").index(term.text)
    return {f"block:{i}" for i in range(count) if 3 * i // count == third} | {
        ("stem", "", "head")[third],
    }


def _check_block(index: int, text: str, what: str, count: int) -> None:
    if index >= count:
        raise AuditError(f"scope '{text}': {what} an architecture with {count} blocks (0 to {count - 1})")
