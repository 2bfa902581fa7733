"""The model as an attack library may see it: still, with pixel gradients alone, on its own random stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tasks.runtime.devices import off_mps
from tasks.runtime.modes import evaluating, frozen
from tasks.runtime.seeding import isolated_global_rng

Perturb = Callable[[Tensor, Tensor], Tensor]


class PixelModel(nn.Module):
    """A classifier with float32 logits whose input gradient is laid out row by row.

    torchattacks calls `.view` on gradients; channels-last convolutions give strided ones.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits `n x K` of images `n x C x H x W`."""
        return self.model(images.flatten(1).unflatten(1, images.shape[1:])).float()


@contextmanager
def attacked(model: nn.Module, generator: torch.Generator) -> Iterator[tuple[nn.Module, int]]:
    """Offer `model` to a library that sets modes, fills gradients and seeds global generators.

    Yields the model to attack and a seed drawn from `generator`. Afterwards modes, gradient switches and
    global random states are what they were.
    """
    seed = int(torch.randint(2**31, (), generator=generator))
    with isolated_global_rng("attack", seed), evaluating(model), frozen(model), torch.enable_grad():
        yield PixelModel(model).eval(), seed


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes, `n`, in eval mode."""
    with evaluating(model), torch.no_grad():
        return model(images).argmax(dim=1)


def with_restarts(
    perturb: Perturb, model: nn.Module, images: Tensor, labels: Tensor, *, count: int
) -> Tensor:
    """Repeat a randomised attack on the examples that no earlier restart fooled."""
    result = images.clone()
    left = torch.arange(len(images), device=images.device)
    for _ in range(count):
        found = perturb(images[left], labels[left]).detach()
        result[left] = found
        left = left[predict(model, found) == labels[left]]
        if not len(left):
            break
    return result


def distances(moved: Tensor, images: Tensor, norm: str) -> Tensor:
    """Size of each perturbation, `n`, in the given norm (Linf or L2), in units of pixels in [0, 1]."""
    delta = (moved - images).flatten(1)
    if norm == "Linf":
        return delta.abs().amax(dim=1)
    return off_mps(delta).double().norm(dim=1).float().to(delta.device)
