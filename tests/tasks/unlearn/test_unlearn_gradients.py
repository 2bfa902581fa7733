"""Gradients by example, Fisher diagonal and inverse-Fisher product against loops and dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tasks.contracts import small as contracts
from tasks.training.gradients import (
    gradients_by_example,
    inverse_fisher_product,
    mean_squared_gradients,
    summed_gradient,
)
from tasks.training.resident import Subset


def loop_gradients(model: nn.Module, subset: Subset) -> list[dict[str, torch.Tensor]]:
    """One backward pass for each example."""
    names = [name for name, _ in model.named_parameters()]
    gradients = []
    for batch in subset.batches(1):
        loss = F.cross_entropy(model(batch.inputs), batch.targets)
        gradients.append(dict(zip(names, torch.autograd.grad(loss, list(model.parameters())), strict=True)))
    return gradients


@pytest.fixture(scope="module")
def subset() -> Subset:
    return contracts.small_data().subset(np.arange(12))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return contracts.small_original()


def test_gradients_by_example_match_a_loop(model: nn.Module, subset: Subset) -> None:
    names = [name for name, _ in model.named_parameters()]
    chunks = list(gradients_by_example(model, subset, names, chunk=5))
    assert [len(c["head.weight"]) for c in chunks] == [5, 5, 2]
    expected = loop_gradients(model, subset)
    for name in names:
        got = torch.cat([c[name] for c in chunks])
        torch.testing.assert_close(got, torch.stack([g[name] for g in expected]), rtol=1e-4, atol=1e-6)


def test_summed_gradient_matches_a_weighted_loop(model: nn.Module, subset: Subset) -> None:
    weights = torch.linspace(-1, 2, 12)
    got = summed_gradient(model, subset, weights=weights, batch_size=5)
    for name, value in got.items():
        expected = sum(w * g[name] for w, g in zip(weights, loop_gradients(model, subset), strict=True))
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for p in model.parameters())


def test_fisher_squares_single_examples_not_batch_means(model: nn.Module, subset: Subset) -> None:
    got = mean_squared_gradients(model, subset)
    gradients = loop_gradients(model, subset)
    for name, value in got.items():
        expected = torch.stack([g[name].square() for g in gradients]).mean(0)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("block", [None, 5])
@pytest.mark.parametrize("damping", [1.0, 1e-3])
def test_inverse_fisher_product_matches_the_dense_inverse(
    model: nn.Module, subset: Subset, damping: float, block: int | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    names = ["head.weight", "head.bias", "second.1.weight"]
    shapes = dict(model.named_parameters())
    vector = {name: torch.randn(shapes[name].shape, generator=generator) for name in names}
    rows = torch.stack(
        [torch.cat([g[n].flatten() for n in names]) for g in loop_gradients(model, subset)]
    ).double()
    fisher = rows.T @ rows / len(rows) + damping * torch.eye(rows.shape[1], dtype=torch.float64)
    flat = torch.cat([vector[n].flatten() for n in names])
    expected = torch.linalg.inv(fisher) @ flat.double()
    product, samples = inverse_fisher_product(model, subset, vector, damping=damping, block=block)
    got = torch.cat([product[n].flatten() for n in names]).double()
    assert torch.linalg.norm(got - expected) < 1e-3 * torch.linalg.norm(expected)
    assert samples == 12 + (12 if block is None else 12 + 7 + 2)


def test_gradients_by_example_of_a_transformer() -> None:
    from tasks.networks.models import build

    vit = build(
        "vit_tiny_patch16_224",
        {"depth": 1, "embed_dim": 24, "num_heads": 2},
        image_shape=(1, 8, 8),
        num_classes=contracts.NUM_CLASSES,
        mean=0.5,
        std=0.5,
        seed_path=("vit",),
    )
    data = contracts.small_data().subset(np.arange(3))
    got = mean_squared_gradients(vit, data)
    gradients = loop_gradients(vit, data)
    for name, value in got.items():
        expected = torch.stack([g[name].square() for g in gradients]).mean(0)
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-8)
