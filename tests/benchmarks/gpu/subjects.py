"""The networks that are trained, each with data of its shape and a recipe: what a shadow model of it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tasks.networks import models
from tasks.runtime.seeding import isolated_global_rng, torch_generator
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData, Subset
from tests.benchmarks.gpu.gpt import GPT, Sequences
from tests.benchmarks.gpu.session import Session

CLASSES, VOCABULARY = 10, 256
SHADOW_EXAMPLES = 25_000 * 50
"""Half of CIFAR, 50 epochs."""
SHADOW_SEQUENCES = 25_000 * 10
SGD = Recipe(epochs=1, lr=0.01, warmup_epochs=0, augmentation="crop_flip")
ADAMW = replace(SGD, optimizer="adamw", lr=1e-4, weight_decay=0.05)


@dataclass(frozen=True)
class Subject:
    """One network, its data and its recipe of a single epoch."""

    name: str
    build: Callable[[int], nn.Module]
    """Model of that number, on the device."""
    data: ResidentData
    recipe: Recipe
    unit: str
    """What an example is."""
    model_examples: int
    """Forward and backward passes of a shadow model: examples times epochs."""

    @property
    def batch(self) -> int:
        """Examples of a step of one model."""
        return self.recipe.batch_size

    @property
    def most_steps(self) -> int:
        """Of an epoch over all of the data, in full batches."""
        return len(self.data.labels) // self.batch

    def examples(self, steps: int) -> Subset:
        """What an epoch of so many steps reads."""
        device = self.data.device
        ids = torch.arange(steps * self.batch, device=device)
        return Subset(self.data, ids, self.data.labels[ids])

    def at(self, batch: int) -> Subject:
        """The same in batches of another size."""
        return replace(self, recipe=replace(self.recipe, batch_size=batch))


def images(count: int, side: int, device: torch.device) -> ResidentData:
    """Noise over a pattern for each class, uint8: something to learn, so that logits spread as usual."""
    generator = torch_generator("gpu benchmark", "images")
    labels = torch.randint(CLASSES, (count,), generator=generator)
    patterns = torch.randint(128, (CLASSES, 3, side, side), generator=generator, dtype=torch.uint8)
    noise = torch.randint(128, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    return ResidentData((noise + patterns[labels]).to(device), labels.to(device), CLASSES)


def subjects(session: Session) -> dict[str, Subject]:
    """ResNet-18 of CIFAR shape, a small ViT and a small GPT, by name."""
    sizes, device = session.sizes, session.device
    wide, depth = sizes.width, sizes.depth

    def classifier(name: str, options: dict) -> Callable[[int], nn.Module]:
        def build(number: int) -> nn.Module:
            made = models.build(
                name,
                options,
                image_shape=(3, sizes.side, sizes.side),
                num_classes=CLASSES,
                mean=0.5,
                std=0.25,
                seed_path=("gpu benchmark", number),
            )
            return made.to(device)

        return build

    def gpt(number: int) -> nn.Module:
        with isolated_global_rng("gpu benchmark", number):
            return GPT(6 * wide, 3 * depth, 6, vocabulary=VOCABULARY, length=sizes.length).to(device)

    resnet = {"channels": tuple(wide * k for k in (1, 2, 4, 8)), "layers": (depth,) * 4}
    vit = {"embed_dim": 3 * wide, "depth": 3 * depth, "num_heads": 3}
    pixels, count = images(sizes.examples, sizes.side, device), sizes.examples // 4
    text = Sequences(tokens(count, sizes.length, device), pixels.labels[:count], VOCABULARY)
    rows: dict[str, tuple[Callable[[int], nn.Module], ResidentData, Recipe, str, int]] = {
        "resnet18": (
            classifier("resnet18", resnet), pixels,
            replace(SGD, batch_size=sizes.batch), "img", SHADOW_EXAMPLES,
        ),
        "vit": (
            classifier("vit_tiny_patch16_224", vit), pixels,
            replace(ADAMW, batch_size=sizes.batch), "img", SHADOW_EXAMPLES,
        ),
        "gpt": (
            gpt, text,
            replace(ADAMW, batch_size=sizes.sequences, augmentation="none"), "sequences", SHADOW_SEQUENCES,
        ),
    }  # fmt: skip
    return {name: Subject(name, *parts) for name, parts in rows.items()}


def tokens(count: int, length: int, device: torch.device) -> Tensor:
    """Random sequences, `count x length`, int64."""
    generator = torch_generator("gpu benchmark", "tokens")
    return torch.randint(VOCABULARY, (count, length), generator=generator).to(device)
