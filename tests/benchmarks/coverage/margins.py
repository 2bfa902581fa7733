"""KLoM: unlearned against retrained models by the margins of each example.

Margins of an example are normal around its difficulty. Half of the variance within an example, or none, is what an
unlearned and a retrained model share by their training set; a part of the rest is common to all examples of a model.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from tasks.metrics.klom import KLOM, KLOM_EXCESS, Margins, klom, klom_metrics
from tests.benchmarks.coverage.case import Case, Seen, about_their_mean, one_by_one, seen

FAMILY = "margins"
SETTINGS = {
    "equal": (0.0, 1.0, 1.0, 0.5, 0.3),
    "equal, models differ as a whole": (0.0, 1.0, 1.0, 0.5, 0.8),
    "all shifted by .5": (0.5, 1.0, 1.0, 0.5, 0.3),
    "a fifth shifted by 2": (2.0, 0.2, 1.0, 0.5, 0.3),
    "shifted by 1 and narrower": (1.0, 1.0, 0.7, 0.5, 0.3),
    "shifted by 1, models differ as a whole": (1.0, 1.0, 1.0, 0.0, 0.8),
}
"""Shift, share of the examples that it moves, spread of the unlearned, shared by data, common to a model."""


def _margins(
    generator: np.random.Generator, *, models: int, examples: int, setting: tuple[float, ...]
) -> Margins:
    """One split of new examples under new models."""
    shift, share, spread, shared, common = setting
    shape = models, examples
    data, difficulty = generator.normal(size=shape), generator.normal(0, 2, examples)
    scale = np.exp(generator.normal(0, 0.4, examples))
    sides = []
    for _ in range(2):
        own = np.sqrt(1 - common) * generator.normal(size=shape)
        own += np.sqrt(common) * generator.normal(size=(models, 1))
        sides.append(np.sqrt(shared) * data + np.sqrt(1 - shared) * own)
    moved = shift * (generator.random(examples) < share)
    return Margins(
        split="forget",
        example_ids=np.arange(examples),
        pair=np.arange(models),
        unlearned=difficulty + scale * (spread * sides[0] + moved),
        retrained=difficulty + scale * sides[1],
        inside=np.ones(shape, dtype=bool),
    )


def _klom(generator: np.random.Generator, **of: object) -> dict[str, Seen]:
    found = klom(_margins(generator, **of), exchanges=30, repeats=50, generator=generator)  # type: ignore[arg-type]
    rows = {row.metric: row for row in klom_metrics(found)}
    return {metric.name: seen(rows[metric.name], 0.0) for metric in (KLOM, KLOM_EXCESS)}


CASES = tuple(
    Case(
        family=FAMILY,
        name=f"{models} models, {examples} examples, {words}",
        estimates=(KLOM.name, KLOM_EXCESS.name),
        simulate=about_their_mean(
            one_by_one(partial(_klom, models=models, examples=examples, setting=setting))
        ),
        fast=40 if (models, examples, words) == (16, 60, "shifted by 1 and narrower") else 0,
    )
    for models, examples in ((16, 60), (16, 242), (32, 242))
    for words, setting in SETTINGS.items()
)
