"""A small convolutional network trained on scikit-learn's digits, for tests of attacks and metrics."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tasks.datasets.digits import Digits
from tasks.runtime.seeding import isolated_global_rng, torch_generator
from tasks.training.resident import ResidentData

TRAIN, TEST = np.arange(1000), np.arange(1000, 1797)


class Normalised(nn.Module):
    """Normalisation inside the model, as attacks in pixel space need it; convolutions channels-last."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, stride=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(128, classes),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body((images - 0.3) / 0.35)


@lru_cache
def data() -> ResidentData:
    source = Digits()
    return ResidentData.put(source.read_images(), source.read_labels().labels, 10, torch.device("cpu"))


@lru_cache
def _weights(epochs: int, seed: int, last: int) -> dict[str, torch.Tensor]:
    with isolated_global_rng("trained digits", seed):
        model = Normalised().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
        generator = torch_generator("trained digits", seed)
        for _ in range(epochs):
            for batch in data().subset(TRAIN[:last]).batches(50, generator=generator):
                optimizer.zero_grad()
                F.cross_entropy(model(batch.inputs), batch.targets).backward()
                optimizer.step()
    return model.eval().state_dict()


def trained(*, epochs: int = 5, seed: int = 0, last: int = 1000) -> Normalised:
    """A fresh copy of the network trained on the first `last` training examples."""
    with isolated_global_rng("copy"):
        model = Normalised()
    model.load_state_dict(_weights(epochs, seed, last))
    return model.eval()
