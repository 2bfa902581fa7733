"""What the contracts look at of language: a small trained model of documents, and runs that forget some of them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.networks.gpt import build_gpt
from tasks.networks.gpt_options import GptOptions
from tasks.networks.scopes import BoundScope, NormStatistics, bind
from tasks.runtime.devices import DeviceName, Engine
from tasks.text.rows import Row, encode
from tasks.text.tokenizers import Bytes
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
    training = training_ids()
    groups = SOURCE.read_labels().groups
    assert groups is not None
    is_forget = groups[training] % 4 == 0
    model = small_language_original(device)
    return _run(
        model,
        small_documents(device),
        training[is_forget],
        training[~is_forget],
        np.flatnonzero(SOURCE.read_labels().is_test),
        scope=bind(scope, model, norm_statistics=norm_statistics),
        seed=seed,
        fresh_model=functools.partial(small_language_model, device=device),
        device=device,
    )


def small_prompted_run(
    *,
    scope: str = "all",
    seed: int = 0,
    norm_statistics: NormStatistics = "update",
    device: DeviceName = "cpu",
) -> UnlearningRun:
    """A run that forgets six of twenty short questions and answers, spelled in bytes; the original is untrained."""
    encoded, _ = encode(_QUESTIONS, Bytes(), longest=0, longer="refuse")
    data = ResidentDocuments.put(
        encoded,
        Bytes.vocabulary,
        Engine(device=device).device,
        completion=lambda text: [*Bytes().encode(text), *Bytes.end],
    )
    model = _speller(("contracts", "prompted"), device)
    return _run(
        model,
        data,
        np.arange(6),
        np.arange(6, 16),
        np.arange(16, 20),
        scope=bind(scope, model, norm_statistics=norm_statistics),
        seed=seed,
        fresh_model=functools.partial(_speller, device=device),
        device=device,
    )


_QUESTIONS = [
    Row(where=f"question {number}", prompt=f"town {number}? ", text=town)
    for number, town in enumerate(("bonn", "rome", "oslo", "lima", "cork") * 4)
]


def _speller(seed_path: tuple[str | int, ...], device: DeviceName = "cpu") -> nn.Module:
    model = build_gpt(OPTIONS, vocabulary=Bytes.vocabulary, seed_path=seed_path)
    return model.to(Engine(device=device).device)


def _run(
    model: nn.Module,
    data: ResidentDocuments,
    forget: np.ndarray,
    retain: np.ndarray,
    validation: np.ndarray,
    *,
    scope: BoundScope,
    seed: int,
    fresh_model: Callable[[tuple[str | int, ...]], nn.Module],
    device: DeviceName,
) -> UnlearningRun:
    return UnlearningRun(
        model=model,
        scope=scope,
        forget=data.subset(forget),
        retain=data.subset(retain),
        validation=data.subset(validation),
        seed=seed,
        fresh_model=fresh_model,
        recipe=RECIPE,
        engine=Engine(device=device),
    )
