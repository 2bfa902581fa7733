"""Gradients of a frozen model over a selection of examples: summed, by example, and squared by example.

The model is left alone: parameters are detached copies handed to `torch.func.functional_call`, and every
module runs in the mode it is in (the callers pass the original model, in eval mode).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from tasks.objectives.base import Batch
from tasks.training.resident import Subset

Tensors = dict[str, Tensor]

_CHUNK_BYTES = 2**28
"""Most bytes of gradients by example made at once; fixed, so that results do not depend on free memory."""
_BLOCK_BYTES = 2**31
"""Most bytes of gradients by example kept while a Gram matrix is built."""


def summed_gradient(
    model: nn.Module, subset: Subset, *, weights: Tensor | None = None, batch_size: int = 256
) -> Tensors:
    """Sum over the examples of the gradient of the loss, for every named parameter.

    Args:
        model: in eval mode.
        subset: `n` examples.
        weights: factor of each example's gradient, `n`; None is 1.
        batch_size: examples per pass.
    """
    parameters = {name: p.detach().requires_grad_() for name, p in model.named_parameters()}
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    start = 0
    for batch in subset.batches(batch_size):
        outputs = functional_call(model, parameters, (batch.inputs,))
        losses = subset.data.objective.losses(outputs, batch)
        if weights is not None:
            losses = losses * weights[start : start + len(losses)]
        start += len(losses)
        gradients = torch.autograd.grad(losses.sum(), list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient
    return total


def gradients_by_example(
    model: nn.Module, subset: Subset, names: list[str], *, chunk: int | None = None
) -> Iterator[Tensors]:
    """Gradients of the loss of single examples, chunk after chunk, in the order of the subset.

    Args:
        model: in eval mode; batch statistics would tie the examples of a chunk together.
        subset: examples and the targets to take the loss at.
        names: the parameters to differentiate.
        chunk: examples at once; None fits the gradients of a chunk into 256 MiB.

    Yields:
        `n x shape` for each name, `n` at most `chunk`.
    """
    every = {name: p.detach() for name, p in model.named_parameters()}
    moving = {name: every.pop(name) for name in names}
    chunk = chunk or rows_within(_CHUNK_BYTES, moving)

    def loss(parameters: Tensors, *example: Tensor) -> Tensor:
        alone = Batch(*(part[None] for part in example))
        outputs = functional_call(model, {**every, **parameters}, (alone.inputs,))
        return subset.data.objective.loss(outputs, alone)

    each = vmap(grad(loss), in_dims=(None, 0, 0, 0))
    for batch in subset.batches(chunk):
        # the fused attention kernels have no batching rule for gradients by example
        with sdpa_kernel(SDPBackend.MATH):
            gradients = each(moving, *batch)
        yield {name: g.detach() for name, g in gradients.items()}


def rows_within(limit: int, parameters: Mapping[str, Tensor]) -> int:
    """Examples whose gradients fit into `limit` bytes, between 1 and 256."""
    size = sum(p.numel() * p.element_size() for p in parameters.values())
    return max(1, min(256, limit // max(size, 1)))


def mean_squared_gradients(model: nn.Module, subset: Subset, *, weights: Tensor | None = None) -> Tensors:
    """Diagonal of the empirical Fisher information: the mean over examples of the squared gradient.

    Squares are taken by example, not of a batch's mean gradient, so no batch size changes the result.

    Args:
        model: in eval mode.
        subset: `n` examples and the targets to take the loss at.
        weights: factor of each example's squares, `n`; None is 1.
    """
    names = [name for name, _ in model.named_parameters()]
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    start = 0
    for gradients in gradients_by_example(model, subset, names):
        count = len(gradients[names[0]])
        for name, gradient in gradients.items():
            # not in place: gradients of added tensors (class token, position) may share memory
            squares = gradient.square()
            if weights is not None:
                squares = squares * weights[start : start + count].view(-1, *[1] * (squares.dim() - 1))
            total[name] += squares.sum(dim=0)
        start += count
    return {name: value / len(subset) for name, value in total.items()}


class FisherProduct(NamedTuple):
    """An inverse-Fisher product by parameter name, and the gradients of single examples that it took."""

    product: Tensors
    samples: int


def inverse_fisher_product(
    model: nn.Module, subset: Subset, vector: Tensors, *, damping: float, block: int | None = None
) -> FisherProduct:
    """(damping I + (1/n) G^T G)^{-1} vector, exactly, with G the `n x P` gradients of single examples.

    Woodbury: (v - G^T (n damping I + G G^T)^{-1} G v) / damping. Only blocks of G are held; with more than
    one block its rows are computed again for each, about n^2 / (2 block) gradients of single examples.

    Args:
        model: in eval mode.
        subset: the `n` examples of the Fisher matrix.
        vector: what to multiply, by parameter name; P is the size of these parameters.
        damping: lambda, positive.
        block: rows of G to hold; None fits them into 2 GiB.
    """
    names, n = list(vector), len(subset)
    size = sum(v.numel() * v.element_size() for v in vector.values())
    block = block or max(1, _BLOCK_BYTES // size)
    flat = _flatten(vector, rows=1)[0]
    gram = torch.zeros(n, n, dtype=torch.float64)
    projection = torch.zeros(n, dtype=torch.float64)
    samples = 0
    for start in range(0, n, block):
        stop = min(start + block, n)
        held = torch.cat(list(_rows(model, subset, names, start, stop)))
        projection[start:stop] = (held @ flat).cpu().double()
        gram[start:stop, start:stop] = (held @ held.T).cpu().double()
        done = stop
        for rows in _rows(model, subset, names, stop, n):
            products = (held @ rows.T).cpu().double()
            gram[start:stop, done : done + len(rows)] = products
            gram[done : done + len(rows), start:stop] = products.T
            done += len(rows)
        samples += n - start
    gram.diagonal().add_(n * damping)
    weights = torch.linalg.solve(gram, projection).to(flat.dtype).to(flat.device)
    correction = summed_gradient(model, subset, weights=weights)
    product = {name: (value - correction[name]) / damping for name, value in vector.items()}
    return FisherProduct(product, samples + n)


def _rows(model: nn.Module, subset: Subset, names: list[str], start: int, stop: int) -> Iterator[Tensor]:
    """Chunks of the rows start to stop of G, each `chunk x P`."""
    part = subset.at(torch.arange(start, stop, device=subset.ids.device))
    for gradients in gradients_by_example(model, part, names):
        yield _flatten(gradients, rows=len(next(iter(gradients.values()))))


def _flatten(tensors: Mapping[str, Tensor], *, rows: int) -> Tensor:
    return torch.cat([t.reshape(rows, -1) for t in tensors.values()], dim=1)
