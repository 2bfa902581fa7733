"""Milliseconds per optimiser step and shadow model on the digits: the peers' loop, ours, and lockstep.

    python tests/benchmarks/shadow_training.py [--models 16] [--repeats 5] [--batch-sizes 16 64]
        [--architectures small_resnet small_cnn small_mlp]

The peers' loop is a DataLoader over a Dataset that applies torchvision's RandomCrop and RandomHorizontalFlip
to each example, plain SGD, one model after another; "peers, batched" moves whole batches at once instead,
which no peer does. Rows of a block do the same work: architecture, batch, steps, optimiser, augmentation.
Repeats are interleaved; the number is the median of processor time, so other work of the machine disturbs it
little. One thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms

from tasks.datasets.digits import Digits
from tasks.images.augment import augmentation
from tasks.networks import models
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import isolated_global_rng, torch_generator
from tasks.training.lockstep import train_shadows
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData, Subset
from tasks.training.strategy_text import Strategy

Build = Callable[[int], nn.Module]
Rows = dict[str, tuple[int, Callable[[list[nn.Module]], None]]]


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


class Transformed(Dataset):
    """Images with a transform for each example, as data sets of torchvision have it."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [transforms.RandomCrop(8, padding=1), transforms.RandomHorizontalFlip()]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]), self.labels[index]


def peer_loop(
    shadows: list[nn.Module], subsets: list[Subset], recipe: Recipe, *, augment: str, batched: bool
) -> None:
    """One model after another, each from its own DataLoader."""
    moved = augment != "none"
    for number, (model, subset) in enumerate(zip(shadows, subsets, strict=True)):
        generator = torch_generator("peer", number)
        kind = Transformed if moved and not batched else TensorDataset
        data = kind(subset.data.inputs(subset.ids), subset.targets)
        loader = DataLoader(data, recipe.batch_size, shuffle=True, generator=generator)
        transform = augmentation("crop_flip", 8) if moved and batched else None
        optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=0.9, weight_decay=5e-4)
        model.train()
        for _ in range(recipe.epochs):
            for images, labels in loader:
                batch = images if transform is None else transform(images, generator)
                optimizer.zero_grad()
                loss = F.cross_entropy(model(batch), labels)
                loss.backward()
                optimizer.step()
                loss.item()


def rows(build: Build, subsets: list[Subset], recipe: Recipe, engines: dict[str, Engine]) -> Rows:
    """The candidates: how many models each trains, and how."""
    most, augment = len(subsets), recipe.augmentation

    def peers(shadows: list[nn.Module], *, batched: bool = False) -> None:
        peer_loop(shadows, subsets[: len(shadows)], recipe, augment=augment, batched=batched)

    def ours(shadows: list[nn.Module], *, strategy: str, precision: str = "no") -> None:
        reports = train_shadows(
            shadows,
            subsets[: len(shadows)],
            recipe,
            seed_paths=[("benchmark", k) for k in range(len(shadows))],
            engine=engines[precision],
            strategy=Strategy.parse(strategy),
        )
        assert {report.strategy for report in reports} == {strategy}

    found: Rows = {"peers": (2, peers)}
    if augment != "none":
        found["peers, batched"] = (2, partial(peers, batched=True))
    found["loop"] = (2, partial(ours, strategy="loop"))
    for size in sorted({4, most}):
        for layout in ("", ":channels_last"):
            name = f"grouped:{size}{layout}"
            found[name] = (size, partial(ours, strategy=name))
    found[f"{name} bf16"] = (most, partial(ours, strategy=name, precision="bf16"))
    return found


def measure(candidates: Rows, build: Build, steps: int, repeats: int) -> dict[str, float]:
    """Median milliseconds per step and model, without the time to build the models."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, (count, run) in candidates.items():
            shadows = [build(number) for number in range(count)]
            began = time.process_time()
            run(shadows)
            if repeat:  # the first warms up, and proves the stack
                times[name].append((time.process_time() - began) / count / steps * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


ARCHITECTURES = {build.__name__: build for build in (small_resnet, small_cnn, small_mlp)}
EPOCHS, STEPS = 3, 12


def main() -> None:
    """Print one block for each architecture, batch size and augmentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--architectures", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    engines = {precision: Engine(device="cpu", precision=precision) for precision in ("bf16", "no")}
    source = Digits()
    labels = source.read_labels().labels
    data = ResidentData.put(source.read_images(), labels, 10, torch.device("cpu"))
    for name, batch_size, augment in product(
        options.architectures, options.batch_sizes, ("none", "crop_flip")
    ):
        build = ARCHITECTURES[name]
        recipe = Recipe(epochs=EPOCHS, batch_size=batch_size, lr=0.05, augmentation=augment)
        rng = np.random.default_rng(0)
        subsets = [
            data.subset(rng.choice(len(labels), STEPS * batch_size, replace=False))
            for _ in range(options.models)
        ]
        found = measure(rows(build, subsets, recipe, engines), build, EPOCHS * STEPS, options.repeats)
        print(f"{name}, batch {batch_size}, augmentation {augment}: ms per step and model")
        for candidate, value in found.items():
            print(f"  {candidate:31s} {value:8.3f}   {found['peers'] / value:6.2f} x peers", flush=True)


if __name__ == "__main__":
    main()
