"""What layers see of each example: their inputs, batch by batch, with the rows that belong to one example together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise

import torch
from torch import Tensor, nn

from tasks.errors import AuditError
from tasks.runtime.modes import evaluating
from tasks.training.resident import Subset

Take = Callable[[Tensor, int], None]
"""Takes in the input of a layer (`n * t x ...`: t rows for the first example, then t for the second) and n."""
ROUNDING = 1e-3
"""Relative distance within which two inputs are equal: kernels may sum in another order."""


def watch(
    model: nn.Module,
    subset: Subset,
    layers: Sequence[tuple[str, nn.Module]],
    takes: Sequence[Take],
    batch_size: int,
) -> list[bool]:
    """Pass the examples through a model in eval mode, handing on what each layer sees.

    Where tokens or patches lie among the rows, equal numbers of them belong to each example (levit, mobilevit).

    Args:
        model: images to logits.
        subset: the examples, in this order.
        layers: name and module of each.
        takes: what takes in the inputs of each.
        batch_size: images per forward pass.

    Returns:
        For each layer whether it saw every example in rows of its own; what was handed on of the others (never reached,
        or rows that belong to no single example) is of no use.

    Raises:
        AuditError: a layer runs more than once in a forward pass.
    """
    rows: list[list[float]] = [[] for _ in layers]
    count = 0

    def hand_on(k: int, x: Tensor) -> None:
        rows[k].append(len(x) / count)
        if len(x) % count == 0:
            takes[k](x, count)

    batches = 0
    with _hooked(model, layers, hand_on):
        for batch in subset.batches(batch_size):
            count = len(batch.ids)
            model(batch.inputs)
            batches += 1
    for (name, _), seen in zip(layers, rows, strict=True):
        if len(seen) > batches:
            raise AuditError(
                f"fairness gap: layer '{name}' runs {len(seen) // batches} times in a forward pass"
            )
    whole = [bool(seen) and seen[0].is_integer() and len(set(seen)) == 1 for seen in rows]
    spread = [k for k, seen in enumerate(rows) if whole[k] and seen[0] > 1]
    for k, apart in zip(spread, _apart(model, subset, [layers[k] for k in spread]), strict=True):
        whole[k] = apart
    return whole


def _apart(model: nn.Module, subset: Subset, layers: Sequence[tuple[str, nn.Module]]) -> list[bool]:
    """Whether two examples in the other order give each layer its two halves of rows in the other order."""
    seen: list[list[Tensor]] = [[] for _ in layers]
    if layers and len(subset) > 1:
        images = subset.batch(torch.arange(2, device=subset.ids.device)).inputs
        with _hooked(model, layers, lambda k, x: seen[k].append(x.detach().float())):
            for pair in (images, images.flip(0)):
                model(pair)
    return [
        all(
            bool((a - b.roll(len(b) // 2, 0)).norm() <= ROUNDING * a.norm())  # half a turn swaps two halves
            for a, b in pairwise(inputs)
        )
        for inputs in seen
    ]


def _hooked(
    model: nn.Module, layers: Sequence[tuple[str, nn.Module]], act: Callable[[int, Tensor], None]
) -> ExitStack:
    """The model in eval mode without gradients, telling `act` the number and the input of each layer that runs."""
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(torch.no_grad())
        for k, (_, module) in enumerate(layers):

            def hook(_: nn.Module, inputs: tuple[Tensor, ...], k: int = k) -> None:
                act(k, inputs[0])

            stack.enter_context(module.register_forward_pre_hook(hook))
        return stack.pop_all()
