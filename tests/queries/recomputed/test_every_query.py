"""Every column of every query that ships, and of the views behind them, against a recomputation in plain Python."""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.results.catalogue import catalogue
from orchestrator.results.claim_register import CLAIMS
from orchestrator.results.connection import Results
from orchestrator.results.trackers import MEASURED
from tests.queries.recomputed import (  # each registers its recomputations
    attacked,  # noqa: F401
    beside_retraining,  # noqa: F401
    bookkeeping,  # noqa: F401
    closing,  # noqa: F401
    costing,  # noqa: F401
    drilling,  # noqa: F401
    membership,  # noqa: F401
    shadow_models,  # noqa: F401
)
from tests.queries.recomputed.arithmetic import Row
from tests.queries.recomputed.register import RECOMPUTED, Case, Recomputation
from tests.queries.recomputed.standing import Standing
from tests.support.every_key import LAST_RUN, every_key_root

EVERY_RUN = "all"
ROOT = Path(__file__).parents[3]
OWN = {path.stem: path for path in (*ROOT.glob("orchestrator/results/queries/*.sql"), MEASURED)}
"""SQL that one part of the program asks, in place of a user."""
NOT_RECOMPUTED = {
    **{claim.name: "on made results: tests/queries/test_claims.py" for claim in CLAIMS},
    "claim_models": "what claims lack: tests/queries/test_claim_gaps.py",
    "claim_shadows": "what claims lack: the same",
    "verdict": "the rows of the view verdicts: tests/orchestrator/results/test_verdict.py",
    "model_verdicts": "the rows of the view model_verdicts: the same",
    "given_models": "no row of models that were trained here: tests/orchestrator/audit/test_given.py",
    "language_models": "no row of models of images: tests/orchestrator/audit/test_language_sweep.py",
}
OF_ONE_RUN = {*catalogue(), *OWN, "leaderboard_view"}
"""Not asked for all runs: queries, whose views are, and the largest view."""
QUANTILES = ("q05", "q25", "median", "q75", "q95", "floor_q95")
SHIPPED = {*catalogue(), *OWN}
PLACE = ("dataset", "architecture", "forget_set")
ORDER = {
    "canaries": ("dataset", "architecture", "canary_kind"),
    "cost": ("-seconds",),
    "failures": ("error_type", "what"),
    "fairness_vs_robustness": ("dataset", "architecture", "conditions", "definition", "attack", "eps"),
    "forget_set_difficulty": (
        "dataset",
        "architecture",
        "attack",
        "variant",
        "param",
        "game",
        "conditions",
        "-gap",
    ),
    "forgetting_order": ("dataset", "architecture", "method", "scope", "forget_set"),
    "gap_and_robustness": ("dataset", "architecture", "attack", "definition", "forget_set"),
    "hardest_examples": (*PLACE, "conditions", "rank"),
    "leaderboard": (
        *PLACE,
        "conditions",
        "attack",
        "metric",
        "split",
        "variant",
        "param",
        "game",
        "role",
        "rank",
    ),
    "population_vs_per_example": (*PLACE, "seed", "role", "method", "scope", "-attack_family"),
    "published_vs_ours": ("row_set", "method", "metric"),
    "retained_copies": ("dataset", "forget_set"),
    "roc_one_cell": ("statistic", "-threshold"),
    "shadow_health": ("dataset", "architecture", "shadow_set"),
    "stopping": ("dataset", "architecture", "method", "scope", "forget_set"),
    "tuning": ("dataset", "architecture", "method", "scope", "search_id", "value"),
}
"""Columns by which the rows of a query rise, or (-) fall, null last; of the others it is their place."""
CASES = [(made, case) for made in RECOMPUTED.values() for case in made.cases]


@functools.cache
def asked(run: str) -> tuple[Results, Standing]:
    """A session, and what its answers rest on."""
    results = Results(every_key_root(), run)
    return results, Standing(results, run)


def answer(results: Results, made: Recomputation, params: Mapping[str, Any]) -> list[Row]:
    if made.name in catalogue():
        return results.query(made.name, **params).to_pylist()
    if made.name in OWN:
        return results.query(str(OWN[made.name]), **params).to_pylist()
    return results.table(made.name.removesuffix("_view")).to_pylist()


def in_order(rows: list[Row], free: set[str]) -> list[Row]:
    """Sorted by all but numbers, which may differ in their last digits, then by these; not by `free` columns."""
    columns = sorted(rows[0].keys() - free)
    alike: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        alike[tuple("" if isinstance(row[key], float) else str(row[key]) for key in columns)].append(row)

    def place(row: Row) -> list[str]:
        return [f"{row[key]:.6e}" for key in columns if isinstance(row[key], float)]

    return [
        row for _, some in sorted(alike.items()) for row in (sorted(some, key=place) if some[1:] else some)
    ]


def different(name: str, one: Any, other: Any) -> bool:
    """Whether an answer is not what was computed here: a value, or a set of which it may be any."""
    if isinstance(other, set):
        return one not in other
    if isinstance(one, float) and isinstance(other, (float, int)):
        # Quantiles in the SQL have six to eight digits (Student's above 30 degrees of freedom, Wilson's), or are of
        # numbers of single precision.
        near = 2e-6 if name.endswith(("_low", "_high")) or name in QUANTILES else 1e-9
        return one != other and not math.isclose(
            one, other, rel_tol=near, abs_tol=near if near > 1e-9 else 1e-12
        )
    return bool(one != other)


def rises(row: Row, later: Row, columns: tuple[str, ...]) -> bool:
    """Whether a row may stand before another."""
    for column in columns:
        name = column.removeprefix("-")
        if row[name] != later[name]:
            if row[name] is None or later[name] is None:
                return later[name] is None
            return bool((row[name] > later[name]) == column.startswith("-"))
    return True


@pytest.mark.parametrize(
    ("made", "case"), CASES, ids=[f"{made.name}-{number}" for number, (made, _) in enumerate(CASES)]
)
def test_it_is_what_plain_python_makes_of_the_rows(made: Recomputation, case: Case) -> None:
    for run in (LAST_RUN,) if made.name in OF_ONE_RUN else (LAST_RUN, EVERY_RUN):
        results, standing = asked(run)
        params = case(standing) if callable(case) else case
        rows = answer(results, made, params)
        wanted = list(made.rows(standing, **params))
        assert rows
        assert len(rows) == len(wanted)
        if made.name in SHIPPED:
            assert {*rows[0]} == {*wanted[0]}
        if made.name in catalogue():
            order = ORDER.get(made.name, PLACE)
            assert all(rises(row, later, order) for row, later in itertools.pairwise(rows))
        shown = [{key: row[key] for key in rows[0]} for row in wanted]
        free = {key for row in shown for key, value in row.items() if isinstance(value, set)}
        for got, made_here in zip(in_order(rows, free), in_order(shown, free), strict=True):
            unequal = {key: (got[key], made_here[key]) for key in got if got[key] != made_here[key]}
            wrong = {key: pair for key, pair in unequal.items() if different(key, *pair)}
            assert not wrong, {key: value for key, value in got.items() if key not in wrong}


def test_every_query_is_recomputed() -> None:
    assert SHIPPED - RECOMPUTED.keys() == NOT_RECOMPUTED.keys()
