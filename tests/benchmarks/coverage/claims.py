"""The claims of the papers: their intervals, and how often their verdicts are right, on made results of known truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.benchmarks.coverage import claimed, claimed_shadows
from tests.benchmarks.coverage.case import Case, Seen, about_their_mean
from tests.benchmarks.coverage.claimed import Judged

FAMILY = "claims"
BATCH = 100
"""Results in one session: the tables of one batch are what is held in memory."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A claim where its truth is known."""

    query: str
    name: str
    truth: float | None
    """Of the effect; None where the population gives none in closed form."""
    so: bool
    """Whether what the claim says is so, by the margin."""
    judge: Callable[[np.random.Generator, int], Judged]

    def judged(self, generator: np.random.Generator, runs: int) -> Judged:
        """Of so many results."""
        parts = [self.judge(generator, min(BATCH, runs - done)) for done in range(0, runs, BATCH)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _worlds(
    query: str, judge: Callable[..., Judged], *rows: tuple[str, float | None, bool, dict]
) -> list[World]:
    return [
        World(query=query, name=name, truth=truth, so=so, judge=partial(judge, **how))
        for name, truth, so, how in rows
    ]


def _least(spread: float) -> float:
    return float((claimed_shadows.trajectories(spread) ** 2).mean(axis=1).min())


WORLDS: tuple[World, ...] = (
    *_worlds(
        "claim_fairness_and_robustness",
        claimed.robustness,
        ("4 originals, no relation", 0.0, False, {"originals": 4, "together": 0.0, "layers": 3}),
        ("5 originals, no relation", 0.0, False, {"originals": 5, "together": 0.0, "layers": 3}),
        (
            "5 originals, one layer of three related",
            None,
            True,
            {"originals": 5, "together": 0.8, "layers": 1},
        ),
        ("5 originals, related", None, True, {"originals": 5, "together": 0.8, "layers": 3}),
    ),
    *_worlds(
        "claim_robust_loss",
        claimed.robust_loss,
        ("4 originals, no loss", 0.0, False, {"originals": 4, "loss": 0.0, "methods": 0.02, "seeds": 0.02}),
        (
            "5 originals, no loss, alike methods",
            0.0,
            False,
            {"originals": 5, "loss": 0.0, "methods": 0.0, "seeds": 0.02},
        ),
        (
            "5 originals, no loss, methods that differ",
            0.0,
            False,
            {"originals": 5, "loss": 0.0, "methods": 0.05, "seeds": 0.0},
        ),
        (
            "5 originals, a loss of .06",
            0.06,
            True,
            {"originals": 5, "loss": 0.06, "methods": 0.02, "seeds": 0.02},
        ),
    ),
    *_worlds(
        "claim_scopes",
        claimed.scopes,
        ("4 originals, farther by the margin", 0.02, False, {"originals": 4, "farther": 0.02, "cost": 0.8}),
        ("5 originals, farther by .05", 0.05, False, {"originals": 5, "farther": 0.05, "cost": 0.8}),
        ("5 originals, as near, as dear", 0.0, False, {"originals": 5, "farther": 0.0, "cost": 1.0}),
        ("5 originals, as near, at .8 of the time", 0.0, True, {"originals": 5, "farther": 0.0, "cost": 0.8}),
    ),
    *_worlds(
        "claim_per_example",
        claimed_shadows.per_example,
        ("8 pairs, examples alike", None, False, {"shadows": 16, "shift": 0.5, "difficulty": 0.0}),
        ("16 pairs, examples alike", None, False, {"shadows": 32, "shift": 0.5, "difficulty": 0.0}),
        ("16 pairs, difficulty spread by 1.5", None, True, {"shadows": 32, "shift": 1.0, "difficulty": 1.5}),
    ),
    *_worlds(
        "claim_worse_off",
        claimed_shadows.worse_off,
        ("32 shadow models, no more than retraining", 0.0, False, {"shadows": 32, "more": 0.0, "alike": 0.5}),
        ("32, no more, methods move together", 0.0, False, {"shadows": 32, "more": 0.0, "alike": 0.95}),
        ("32, more by .05", 0.05, True, {"shadows": 32, "more": 0.05, "alike": 0.5}),
    ),
    *_worlds(
        "claim_stopping",
        claimed_shadows.stopping,
        ("16 pairs, one epoch serves all", 0.0, False, {"pairs": 16, "spread": 0.0}),
        ("16 pairs, examples .2 apart", _least(0.2), False, {"pairs": 16, "spread": 0.2}),
        ("16 pairs, examples .6 apart", _least(0.6), True, {"pairs": 16, "spread": 0.6}),
    ),
    *_worlds(
        "claim_risk",
        claimed_shadows.risk,
        ("16 pairs, half is left of all", 0.0, False, {"pairs": 16, "kept_high": 0.5, "kept_low": 0.5}),
        ("16 pairs, less is left at high risk", None, True, {"pairs": 16, "kept_high": 0.2, "kept_low": 0.8}),
        (
            "16 pairs, more is left at high risk",
            None,
            False,
            {"pairs": 16, "kept_high": 0.8, "kept_low": 0.2},
        ),
        (
            "12 pairs, skewed, half is left of all",
            0.0,
            False,
            {"pairs": 12, "kept_high": 0.5, "kept_low": 0.5, "skewed": True},
        ),
        (
            "24 pairs, skewed, less is left the higher the risk",
            None,
            True,
            {"pairs": 24, "kept_high": 0.1, "kept_low": 1.2, "skewed": True},
        ),
    ),
    *_worlds(
        "claim_order",
        claimed.order,
        ("4 originals, any order", 0.0, False, {"originals": 4, "nearer": 0.0}),
        ("8 originals, any order", 0.0, False, {"originals": 8, "nearer": 0.0}),
        ("8 originals, nearer by .015", 0.015, True, {"originals": 8, "nearer": 0.015}),
    ),
    *_worlds(
        "claim_closest",
        claimed.closest,
        (
            "4 originals, as close as one rival",
            0.0,
            False,
            {"originals": 4, "leads": (0.0, 0.03, 0.05, 0.05)},
        ),
        ("5 originals, six methods alike", 0.0, False, {"originals": 5, "leads": (0.0,) * 5}),
        (
            "5 originals, a rival closer by .03",
            -0.03,
            False,
            {"originals": 5, "leads": (-0.03, 0.03, 0.05, 0.05, 0.05)},
        ),
        (
            "5 originals, closest by .03",
            0.03,
            True,
            {"originals": 5, "leads": (0.03, 0.03, 0.05, 0.05, 0.05)},
        ),
    ),
)


def _seen(world: World, generator: np.random.Generator, runs: int) -> dict[str, Seen]:
    found = world.judged(generator, runs)
    truth = 0.0 if world.truth is None else world.truth
    return {world.query: Seen(found["effect"], found["low"], found["high"], truth)}


def _case(world: World) -> Case:
    simulate = partial(_seen, world)
    return Case(
        family=FAMILY,
        name=world.name,
        estimates=(world.query,),
        simulate=simulate if world.truth is not None else about_their_mean(simulate),
        fast=300 if (world.query, world.name) == ("claim_order", "8 originals, any order") else 0,
    )


CASES = tuple(_case(world) for world in WORLDS)
