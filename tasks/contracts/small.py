"""What the contracts look at: a small trained network, 8 x 8 images, and a run that forgets some of them."""

from __future__ import annotations

import functools
import random
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tasks.networks.scopes import bind
from tasks.runtime.devices import DeviceName, Engine
from tasks.runtime.seeding import isolated_global_rng, numpy_generator
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.train import train
from tasks.unlearn.run import UnlearningRun

NUM_CLASSES = 4
RECIPE = Recipe(epochs=4, batch_size=16, lr=0.1, warmup_epochs=1.0)


def small_model(seed_path: tuple[str | int, ...], device: DeviceName = "cpu") -> nn.Module:
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
        return nn.Sequential(layers).eval().to(Engine(device=device).device)


def small_data(device: DeviceName = "cpu") -> ResidentData:
    """160 images, `1 x 8 x 8` in [0, 1]: one random pattern for each of four classes, and noise."""
    return _small_data(device)


@functools.cache
def _small_data(device: DeviceName) -> ResidentData:
    generator = numpy_generator("contracts", "data")
    labels = np.tile(np.arange(NUM_CLASSES), 40)
    patterns = generator.random((NUM_CLASSES, 1, 8, 8))
    images = 0.5 * patterns[labels] + 0.5 * generator.random((len(labels), 1, 8, 8))
    return ResidentData.put(images.astype(np.float32), labels, NUM_CLASSES, Engine(device=device).device)


def small_original(device: DeviceName = "cpu") -> nn.Module:
    """The small network, trained on the first 120 images: on the CPU, so that every device has the same one."""
    model = small_model(("contracts", "original"), device)
    model.load_state_dict(_trained_state())
    return model


@functools.cache
def _trained_state() -> dict[str, Tensor]:
    model = small_model(("contracts", "original"))
    everything = small_data().subset(np.arange(120))
    train(model, everything, RECIPE, seed_path=("contracts", "original"), engine=Engine(device="cpu"))
    return model.state_dict()


def small_run(
    *, scope: str = "all", seed: int = 0, norm_statistics: Any = "update", device: DeviceName = "cpu"
) -> UnlearningRun:
    """A run that forgets a third of classes 0 and 1 (20 of 120 examples) from the small original."""
    data, model = small_data(device), small_original(device)
    training = np.arange(120)
    is_forget = (training % NUM_CLASSES < 2) & (training < 40)
    return UnlearningRun(
        model=model,
        scope=bind(scope, model, norm_statistics=norm_statistics),
        forget=data.subset(training[is_forget]),
        retain=data.subset(training[~is_forget]),
        validation=data.subset(np.arange(120, 160)),
        seed=seed,
        fresh_model=functools.partial(small_model, device=device),
        recipe=RECIPE,
        engine=Engine(device=device),
    )


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Equal to the last bit."""
    return first.shape == second.shape and first.cpu().numpy().tobytes() == second.cpu().numpy().tobytes()


def global_random_state() -> dict[str, bytes]:
    """Where Python's, NumPy's and torch's global generators are, those of GPUs in use too."""
    legacy: Any = np.random.get_state()  # noqa: NPY002 - what libraries draw from
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    return {
        "random": repr(random.getstate()).encode(),
        "numpy": repr((legacy[0], np.asarray(legacy[1]).tobytes(), legacy[2:])).encode(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "cuda": b"".join(torch.cuda.get_rng_state(gpu).numpy().tobytes() for gpu in gpus),
    }
