"""A model's difference and distance from retraining over seeds, as the verdict's view states them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from tests.benchmarks.coverage.case import Case, Seen
from tests.benchmarks.verdict_power import LEADERBOARD, MARGIN, POWER, SIZE, Truth, answers_of
from tests.support.verdict_session import declared, judge

FAMILY = "verdicts"
ASK = """
select difference, difference_low, difference_high, distance, distance_low, distance_high
from verdicts
where role = 'audited'
"""
TRUTHS = {
    **{f"one more retraining, {words}": truth for words, truth in SIZE.items() if truth.sd},
    **{f"off by 4 training sd, {words}": truth for words, truth in POWER.items()},
}


def _verdict(generator: np.random.Generator, runs: int, *, truth: Truth) -> dict[str, Seen]:
    said = declared({"metric": "accuracy", "is_primary": True, "margin": MARGIN})
    rows = answers_of(truth, "simulated", generator, runs)
    table = judge({"answers": rows, "declared": said}, ASK, leaderboard=LEADERBOARD)
    difference, *ends, distance, low, high = (column.to_numpy() for column in table.columns)
    return {
        "difference of the verdict": Seen(difference, *ends, truth.off * truth.sd),
        "distance of the verdict": Seen(distance, low, high, np.mean(distance)),
    }


CASES = tuple(
    Case(
        family=FAMILY,
        name=f"{words}, {seeds} seeds",
        estimates=("difference of the verdict", "distance of the verdict"),
        simulate=partial(_verdict, truth=replace(truth, seeds=seeds)),
        fast=100 if (words, seeds) == ("off by 4 training sd, n = 1,000, sd .01", 3) else 0,
    )
    for words, truth in TRUTHS.items()
    for seeds in (2, 3, 5)
)
