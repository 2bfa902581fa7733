"""How far retrained language models differ because their base was another one. CPU, one thread.

    python -m tests.benchmarks.language_bases [--bases 4] [--trainings 4] [--people 1000]

An audit retrains from one base, and what it says holds for that one. Here bases are pre-trained from other
initialisations and in other orders, as the preset `language-ulira` does; from each, models are trained on the retained
documents in several orders. Of every number the spread between trainings from one base stands beside what another base
adds (one-way analysis of variance, its estimate 0 where it is negative): standard deviations, with 95 % intervals of
the ratio of the two variances, (base + training) / training, from the F distribution.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence

import numpy as np
from scipy import stats
from torch import nn

from tasks.datasets.fictitious_people import FictitiousPeople
from tasks.networks.gpt import build_gpt
from tasks.networks.gpt_options import GptOptions
from tasks.runtime.devices import Engine
from tasks.runtime.seeding import numpy_generator
from tasks.statistics.roc import auc_interval
from tasks.text.words import VOCABULARY
from tasks.training.documents import ResidentDocuments
from tasks.training.recipe import Recipe
from tasks.training.resident import Subset
from tasks.training.scoring import Outputs, score
from tasks.training.train import train

ENGINE = Engine(device="cpu")
PRETRAINING = Recipe(epochs=6, batch_size=16, optimizer="adamw", lr=3e-3, weight_decay=0.01)
TRAINING = Recipe(epochs=5, batch_size=16, optimizer="adamw", lr=2e-3, weight_decay=0.01)
OPTIONS = GptOptions(d=64, layers=2)
FORGOTTEN = 0.25
"""Share of the persons."""


def base_of(public: Subset, number: int) -> nn.Module:
    """A model that was trained on the public part alone."""
    model = build_gpt(OPTIONS, vocabulary=len(VOCABULARY), seed_path=("base", number))
    train(model, public, PRETRAINING, seed_path=("base order", number), engine=ENGINE)
    return model


def numbers(forget: Outputs, test: Outputs) -> dict[str, float]:
    """What an audit says of one retrained model."""
    member = np.repeat([True, False], [len(forget), len(test)])
    found = {
        f"{name} of forgotten": float(forget.statistics[name].mean()) for name in ("token_accuracy", "loss")
    }
    for name in ("phi", "min_k_pp"):
        scores = np.concatenate([part.statistics[name] for part in (forget, test)])
        found[f"auc of {name}"] = auc_interval(scores, member).value
    return found


def spread(values: np.ndarray) -> tuple[float, float, float, float]:
    """Standard deviations of trainings and of bases, and the ends of the ratio of variances; `bases x trainings`."""
    bases, trainings = values.shape
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(values.mean(axis=1).var(ddof=1)) * trainings
    added = max(0.0, (between - within) / trainings)
    freedom = bases - 1, bases * (trainings - 1)
    ratio = between / within
    low, high = (ratio / stats.f.ppf(q, *freedom) for q in (0.975, 0.025))
    ends = (max(1.0, 1 + (end - 1) / trainings) for end in (low, high))
    return (np.sqrt(within), np.sqrt(added), *ends)


def measure(*, bases: int, trainings: int, people: int) -> dict[str, np.ndarray]:
    """Every number of every retrained model, `bases x trainings`, by its name."""
    source = FictitiousPeople(num_train=130, num_test=60, num_public=people)
    data = ResidentDocuments.put(source.read_inputs(), len(VOCABULARY), ENGINE.device)
    read = source.read_public()
    assert read is not None
    public = ResidentDocuments.put(read, len(VOCABULARY), ENGINE.device)
    labels = source.read_labels()
    assert labels.groups is not None
    persons = np.unique(labels.groups[~labels.is_test])
    generator = numpy_generator("language bases")
    chosen = generator.choice(persons, round(FORGOTTEN * len(persons)), replace=False)
    is_forgotten = np.isin(labels.groups, chosen)
    retain, forget, test = (
        data.subset(np.flatnonzero(rows))
        for rows in (~labels.is_test & ~is_forgotten, is_forgotten, labels.is_test)
    )
    found: list[list[dict[str, float]]] = []
    for number in range(bases):
        base = base_of(public.subset(np.arange(len(read.lengths))), number)
        found.append([])
        for order in range(trainings):
            model = copy.deepcopy(base)
            train(model, retain, TRAINING, seed_path=("retrained", order), engine=ENGINE)
            found[-1].append(numbers(score(model, forget), score(model, test)))
    return {name: np.array([[one[name] for one in row] for row in found]) for name in found[0][0]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bases", type=int, default=4)
    parser.add_argument("--trainings", type=int, default=4)
    parser.add_argument("--people", type=int, default=1000)
    asked = parser.parse_args(arguments)
    measured = measure(bases=asked.bases, trainings=asked.trainings, people=asked.people)
    print(f"{asked.bases} bases x {asked.trainings} trainings from each, {asked.people} public people")
    for name, values in measured.items():
        training, base, low, high = spread(values)
        print(
            f"{name:<26} mean {values.mean():7.3f}   sd of trainings {training:.3f}   added by the base {base:.3f}   "
            f"variance x {1 + (base / training) ** 2:.2f} [{low:.2f}, {high:.2f}]"
        )


if __name__ == "__main__":
    main()
