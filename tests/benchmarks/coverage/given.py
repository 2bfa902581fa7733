"""Estimates over models that were made elsewhere: masks that are no complements, and models trained on everything."""

from __future__ import annotations

from functools import partial

import numpy as np

from tasks.attacks.lira import ULiRA
from tasks.metrics.two_way import mean_balanced_accuracy, mean_example_auc, pooled_auc
from tasks.shadows.games import Comparison, compare
from tasks.shadows.observations import Observations, State
from tests.benchmarks.coverage.case import Case, Seen, about_their_mean, one_by_one

FAMILY = "given"
EXAMPLES = 40
ESTIMATES = ("auc of pooled scores", "auc of the mean example", "balanced_accuracy of pooled scores")


def _observed(states: np.ndarray, phi: np.ndarray, method: str, *, apart: int = 1) -> Observations:
    """One run of each model; with `apart` 2 each is a pair by itself, as `orchestrator.outputs.runs` numbers them."""
    return Observations(
        method=method,
        scope="all",
        family="given",
        example_ids=np.arange(states.shape[1]),
        shadow=apart * np.arange(len(states), dtype=np.int32),
        draw=np.zeros(len(states), dtype=np.int32),
        state=states.astype(np.int8),
        phi=phi.astype(np.float32),
    )


def _phi(generator: np.random.Generator, models: int, model_effect: float) -> np.ndarray:
    own = model_effect * generator.normal(size=(models, 1))
    return np.asarray(generator.normal(size=(models, EXAMPLES)) + own)


def _found(comparison: Comparison) -> dict[str, Seen]:
    scores = ULiRA(game=comparison.game).score(comparison)  # type: ignore[arg-type]
    found = (pooled_auc(scores), mean_example_auc(scores), mean_balanced_accuracy(scores))
    seen = (Seen(estimate.value, *estimate.interval(0.0, 1.0), 0.0) for estimate in found)
    return dict(zip(ESTIMATES, seen, strict=True))


def _coins(
    generator: np.random.Generator, *, models: int, shift: float, model_effect: float
) -> dict[str, Seen]:
    """Each model holds each example by a fair coin, and forgets what it holds (G2)."""
    inside = generator.random((models, EXAMPLES)) < 0.5
    phi = _phi(generator, models, model_effect) + shift * inside
    states = np.where(inside, State.UNLEARNED, State.NEVER)
    return _found(compare(_observed(states, phi, "theirs"), "G2"))


def _everything(
    generator: np.random.Generator, *, models: int, shift: float, model_effect: float
) -> dict[str, Seen]:
    """As many unlearned models as retrained ones, all independent (G1)."""
    states = np.full((models, EXAMPLES), State.UNLEARNED)
    theirs = _observed(states, _phi(generator, models, model_effect) + shift, "theirs", apart=2)
    retrained = _observed(states, _phi(generator, models, model_effect), "retrained", apart=2)
    return _found(compare(theirs, "G1", reference=retrained, reference_state=State.UNLEARNED))


CASES = tuple(
    Case(
        family=FAMILY,
        name=f"{models} models, {told}, shift {shift}, models differ by {model_effect}",
        estimates=ESTIMATES,
        simulate=about_their_mean(
            one_by_one(partial(simulate, models=models, shift=shift, model_effect=model_effect))
        ),
        fast=20 if (shift, model_effect) == (0.0, 0.0) else 0,
    )
    for told, simulate, models in (
        ("masks by coins", _coins, 16),
        ("trained on everything", _everything, 32),
    )
    for shift, model_effect in ((0.0, 0.0), (0.0, 0.5), (1.0, 0.5))
)
"""Of models that were trained on everything 16 do where they differ little; see `orchestrator.outputs.runs.LEAST`."""
