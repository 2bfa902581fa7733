"""Milliseconds per optimiser step and shadow model on the digits: the peers' loop, ours, and lockstep.

    python tests/benchmarks/shadow_training.py [--models 16] [--steps 12] [--repeats 5] [--batch-sizes 16 64]

The peers' loop is a DataLoader that collates single examples, a crop and mirror image for each batch, plain SGD,
one model after another. All rows do the same work: equal architecture, batch size, steps, optimiser and, in the
rows that say so, augmentation. Repeats are interleaved; the number is the median of processor time, so other
work of the machine disturbs it little. One thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tasks import models
from tasks.augment import augmentation
from tasks.datasets.digits import Digits
from tasks.devices import Engine
from tasks.recipe import Recipe
from tasks.resident import ResidentData, Subset
from tasks.seeding import isolated_global_rng, torch_generator
from tasks.shadows.training import Strategy, train_shadows

Build = Callable[[int], nn.Module]


def small_resnet(number: int) -> nn.Module:
    """The residual network of the digits presets."""
    return models.build(
        "resnetv2_18",
        {"layers": (1, 1, 1), "channels": (8, 16, 32), "stem_chs": 8},
        image_shape=(1, 8, 8),
        num_classes=10,
        mean=0.3,
        std=0.35,
        seed_path=("benchmark", number),
    )


def small_cnn(number: int) -> nn.Module:
    """Two convolutions with batch norm and a linear layer, as small examples of the field have it."""
    with isolated_global_rng("benchmark", number):
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )


def small_mlp(number: int) -> nn.Module:
    """One hidden layer."""
    with isolated_global_rng("benchmark", number):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def peer_loop(shadows: list[nn.Module], subsets: list[Subset], recipe: Recipe, *, augment: bool) -> None:
    """One model after another, each from its own DataLoader."""
    for number, (model, subset) in enumerate(zip(shadows, subsets, strict=True)):
        generator = torch_generator("peer", number)
        data = TensorDataset(subset.data.pixels(subset.ids), subset.labels)
        loader = DataLoader(data, recipe.batch_size, shuffle=True, generator=generator)
        transform = augmentation("crop_flip", 8) if augment else None
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=0.9, weight_decay=5e-4)
        model.train()
        for images, labels in loader:
            batch = images if transform is None else transform(images, generator)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), labels)
            loss.backward()
            optimizer.step()
            loss.item()


def rows(
    build: Build, subsets: list[Subset], recipe: Recipe, engine: Engine, *, augment: bool
) -> dict[str, tuple[int, Callable[[], None]]]:
    """The candidates: how many models each trains, and how."""

    def ours(strategy: str, count: int) -> Callable[[], None]:
        def run() -> None:
            train_shadows(
                [build(k) for k in range(count)],
                subsets[:count],
                recipe,
                seed_paths=[("benchmark", k) for k in range(count)],
                engine=engine,
                strategy=Strategy.parse(strategy),
            )

        return run

    def peers() -> None:
        peer_loop([build(k) for k in range(4)], subsets[:4], recipe, augment=augment)

    most = len(subsets)
    found: dict[str, tuple[int, Callable[[], None]]] = {"peers": (4, peers), "loop": (4, ours("loop", 4))}
    for size in sorted({4, most}):
        for layout in ("", ":channels_last"):
            found[f"grouped:{size}{layout}"] = (size, ours(f"grouped:{size}{layout}", size))
    return found


def measure(
    candidates: dict[str, tuple[int, Callable[[], None]]], build: Build, steps: int, repeats: int
) -> dict[str, float]:
    """Median milliseconds per step and model, without the time to build the models."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, (count, run) in candidates.items():
            began = time.process_time()
            for number in range(count):
                build(number)
            building = time.process_time() - began
            began = time.process_time()
            run()
            if repeat:  # the first warms up, and proves the stack
                times[name].append((time.process_time() - began - building) / count / steps * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Print one table row for each architecture, batch size and augmentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16, 64])
    options = parser.parse_args()
    torch.set_num_threads(1)
    engine = Engine(device="cpu")
    source = Digits()
    data = ResidentData.put(source.read_images(), source.read_labels().labels, 10, engine.device)
    for build in (small_resnet, small_cnn, small_mlp):
        for batch_size in options.batch_sizes:
            for augment in (False, True):
                name = "crop_flip" if augment else "none"
                recipe = Recipe(epochs=1, batch_size=batch_size, lr=0.05, augmentation=name)
                rng = np.random.default_rng(0)
                subsets = [
                    data.subset(rng.choice(len(data.labels), options.steps * batch_size, replace=False))
                    for _ in range(options.models)
                ]
                candidates = rows(build, subsets, recipe, engine, augment=augment)
                found = measure(candidates, build, options.steps, options.repeats)
                print(f"{build.__name__}, batch {batch_size}, augmentation {name}: ms per step and model")
                for candidate, value in found.items():
                    print(f"  {candidate:26s} {value:8.3f}   {found['peers'] / value:6.2f} x peers", flush=True)


if __name__ == "__main__":
    main()
