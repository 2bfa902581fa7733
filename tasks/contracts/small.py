"""What the contracts look at: a small trained network, 8 x 8 images, and a run that forgets some of them."""

from __future__ import annotations

import random
from collections import OrderedDict
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.networks.scopes import bind
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import isolated_global_rng, numpy_generator
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.train import train
from tasks.unlearn.run import UnlearningRun

NUM_CLASSES = 4
RECIPE = Recipe(epochs=4, batch_size=16, lr=0.1, warmup_epochs=1.0)


def small_model(seed_path: tuple[str | int, ...]) -> nn.Module:
    """A new network in eval mode: two convolutions with batch norm, linear head; equal paths, equal bits."""

    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
        )

    with isolated_global_rng(*seed_path):
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            first=block(1, 6),
            second=block(6, 8),
            pool=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            head=nn.Linear(8, NUM_CLASSES),
        )
        return nn.Sequential(layers).eval()


@lru_cache(maxsize=1)
def small_data() -> ResidentData:
    """160 images, `1 x 8 x 8` in [0, 1]: one random pattern for each of four classes, and noise."""
    generator = numpy_generator("contracts", "data")
    labels = np.tile(np.arange(NUM_CLASSES), 40)
    patterns = generator.random((NUM_CLASSES, 1, 8, 8))
    images = 0.5 * patterns[labels] + 0.5 * generator.random((len(labels), 1, 8, 8))
    return ResidentData.put(images.astype(np.float32), labels, NUM_CLASSES, torch.device("cpu"))


def small_original() -> nn.Module:
    """The small network, trained on the first 120 images."""
    model = small_model(("contracts", "original"))
    model.load_state_dict(_trained_state())
    return model


@lru_cache(maxsize=1)
def _trained_state() -> dict[str, Tensor]:
    model = small_model(("contracts", "original"))
    everything = small_data().subset(np.arange(120))
    train(model, everything, RECIPE, seed_path=("contracts", "original"), engine=Engine(device="cpu"))
    return model.state_dict()


def small_run(*, scope: str = "all", seed: int = 0, norm_statistics: Any = "update") -> UnlearningRun:
    """A run that forgets a third of classes 0 and 1 (20 of 120 examples) from the small original."""
    data, model = small_data(), small_original()
    training = np.arange(120)
    is_forget = (training % NUM_CLASSES < 2) & (training < 40)
    return UnlearningRun(
        model=model,
        scope=bind(scope, model, norm_statistics=norm_statistics),
        forget=data.subset(training[is_forget]),
        retain=data.subset(training[~is_forget]),
        validation=data.subset(np.arange(120, 160)),
        seed=seed,
        fresh_model=small_model,
        recipe=RECIPE,
        engine=Engine(device="cpu"),
    )


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Equal to the last bit."""
    return first.shape == second.shape and first.numpy().tobytes() == second.numpy().tobytes()


def global_random_state() -> dict[str, bytes]:
    """Where Python's, NumPy's and torch's global generators are."""
    legacy: Any = np.random.get_state()  # noqa: NPY002 - what libraries draw from
    return {
        "random": repr(random.getstate()).encode(),
        "numpy": repr((legacy[0], np.asarray(legacy[1]).tobytes(), legacy[2:])).encode(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
