"""What the contracts look at of language: a small trained model of documents, and a run that forgets some of them."""

from __future__ import annotations

import functools

import numpy as np
from torch import Tensor, nn

from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.networks.gpt import build_gpt
from tasks.networks.gpt_options import GptOptions
from tasks.networks.scopes import NormStatistics, bind
from tasks.runtime.devices import DeviceName, Engine
from tasks.text.words import VOCABULARY
from tasks.training.documents import ResidentDocuments
from tasks.training.recipe import Recipe
from tasks.training.train import train
from tasks.unlearn.run import UnlearningRun

SOURCE = FictitiousPeople(num_train=24, num_test=8, num_public=0)
OPTIONS = GptOptions(d=16, layers=2, heads=2, context=64)
RECIPE = Recipe(epochs=6, batch_size=8, optimizer="adamw", lr=1e-2, weight_decay=0.0)


def small_language_model(seed_path: tuple[str | int, ...], device: DeviceName = "cpu") -> nn.Module:
    """A new model of two blocks in eval mode; equal paths, equal bits."""
    return build_gpt(OPTIONS, vocabulary=len(VOCABULARY), seed_path=seed_path).to(
        Engine(device=device).device
    )


def small_documents(device: DeviceName = "cpu") -> ResidentDocuments:
    """Documents of 32 fictitious people."""
    return ResidentDocuments.put(SOURCE.read_inputs(), len(VOCABULARY), Engine(device=device).device)


def training_ids() -> np.ndarray:
    """Documents of the people to train on."""
    return np.flatnonzero(~SOURCE.read_labels().is_test)


def small_language_original(device: DeviceName = "cpu") -> nn.Module:
    """The small model, trained: on the CPU, so that every device has the same one."""
    model = small_language_model(("contracts", "original"), device)
    model.load_state_dict(_trained_state())
    return model


@functools.cache
def _trained_state() -> dict[str, Tensor]:
    model = small_language_model(("contracts", "original"))
    everything = small_documents().subset(training_ids())
    train(model, everything, RECIPE, seed_path=("contracts", "original"), engine=Engine(device="cpu"))
    return model.state_dict()


def small_language_run(
    *,
    scope: str = "all",
    seed: int = 0,
    norm_statistics: NormStatistics = "update",
    device: DeviceName = "cpu",
) -> UnlearningRun:
    """A run that forgets the documents of a fourth of the people."""
    data, model, training = small_documents(device), small_language_original(device), training_ids()
    groups = SOURCE.read_labels().groups
    assert groups is not None
    is_forget = groups[training] % 4 == 0
    return UnlearningRun(
        model=model,
        scope=bind(scope, model, norm_statistics=norm_statistics),
        forget=data.subset(training[is_forget]),
        retain=data.subset(training[~is_forget]),
        validation=data.subset(np.flatnonzero(SOURCE.read_labels().is_test)),
        seed=seed,
        fresh_model=functools.partial(small_language_model, device=device),
        recipe=RECIPE,
        engine=Engine(device=device),
    )
