"""An unlearning in miniature: noisy 6 x 6 class patterns and a convolutional net with batch norm."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from tasks.networks.scopes import bind
from tasks.runtime.seeding import isolated_global_rng, numpy_generator
from tasks.training.recipe import Recipe
from tasks.training.resident import ResidentData
from tasks.training.train import train
from tasks.unlearn.run import UnlearningRun

NUM_CLASSES = 3


class TinyNet(nn.Module):
    """Two convolutions (the second 1 x 1), a batch norm and a linear head."""

    def __init__(self, seed_path: tuple[str | int, ...]) -> None:
        super().__init__()
        with isolated_global_rng("tiny net", *seed_path):
            self.conv1 = nn.Conv2d(1, 6, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(6)
            self.conv2 = nn.Conv2d(6, 6, 1)
            self.fc = nn.Linear(6 * 36, NUM_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        hidden = torch.relu(self.bn1(self.conv1(images)))
        return self.fc(torch.relu(self.conv2(hidden)).flatten(1))


def tiny_data(seed: int = 0, count: int = 96, noise: float = 0.25) -> ResidentData:
    """Images of a pattern per class plus noise, in [0, 1]."""
    generator = numpy_generator("tiny data", seed)
    patterns = generator.random((NUM_CLASSES, 1, 6, 6))
    labels = np.arange(count) % NUM_CLASSES
    images = np.clip(patterns[labels] + noise * generator.standard_normal((count, 1, 6, 6)), 0, 1)
    return ResidentData.put(images.astype(np.float32), labels, NUM_CLASSES, torch.device("cpu"))


def tiny_run(
    scope: str = "all",
    *,
    seed: int = 0,
    forget: int = 12,
    epochs: int = 8,
    noise: float = 0.25,
    scores: Mapping[str, np.ndarray] | None = None,
    on_epoch: Callable[[int, nn.Module], None] | None = None,
) -> UnlearningRun:
    """A run over a trained original: the first `forget` examples, 60 in training, the rest validation."""
    data = tiny_data(noise=noise)
    model = TinyNet(("original",))
    recipe = Recipe(epochs=epochs, batch_size=16, lr=0.05, warmup_epochs=0.0, schedule="constant")
    run = UnlearningRun(
        model=model,
        scope=bind(scope, model),
        forget=data.subset(np.arange(forget)),
        retain=data.subset(np.arange(forget, 60)),
        validation=data.subset(np.arange(60, 96)),
        seed=seed,
        fresh_model=TinyNet,
        scores=scores or {},
        on_epoch=on_epoch,
    )
    model.requires_grad_(True)
    train(model, data.subset(np.arange(60)), recipe, seed_path=("tiny",), engine=run.engine)
    return UnlearningRun(
        **{
            name: getattr(run, name)
            for name in (
                "model",
                "scope",
                "forget",
                "retain",
                "validation",
                "seed",
                "fresh_model",
                "scores",
                "on_epoch",
                "engine",
            )
        }
    )


def changed(run: UnlearningRun) -> set[str]:
    """Names of the tensors that differ from the original's."""
    before, after = run.original.state_dict(), run.model.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}
