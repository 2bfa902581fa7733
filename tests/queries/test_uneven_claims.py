"""What the claim on robust accuracy makes of results in which some models are missing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from tests.support.claim_session import crossed, rows_of

METHODS, SEEDS, FORGET_SETS = ("a", "b", "c", "d"), 5, ("one", "two")
LOSSES = 0.05 + 0.03 * np.random.default_rng(17).normal(size=(SEEDS, len(METHODS), len(FORGET_SETS)))
"""Of robust accuracy, by original, method and forget set."""
EVERYTHING = [
    (seed, method, where) for seed in range(SEEDS) for method in METHODS for where in range(len(FORGET_SETS))
]


def answer(missing: Collection[tuple[int, str, int]]) -> dict[str, Any]:
    """The row of the claim where these models (original, method, forget set by number) failed."""
    axes = {"seed": range(SEEDS), "method": METHODS, "forget_set": FORGET_SETS}
    shape = tuple(map(len, axes.values()))
    key = np.array(["-".join(map(str, one)) for one in EVERYTHING]).reshape(shape)
    plain = {
        "dataset": "data",
        "architecture": "net",
        "setting": "s",
        "scope": "all",
        "attack": "apgd",
        "metric": "robust_accuracy",
        "split": "test",
        "variant": "",
        "label": None,
        "higher_is": "better",
        "role": "audited",
        "conditions": "alike",
        "n": 64,
        "noise_floor": 0.0,
        **dict.fromkeys(("ci_low", "ci_high", "difference_low", "difference_high"), 0.0),
    }
    values = [
        crossed(axes, param=eps, value=0.5 - lost, retrained=0.5, difference=-lost, cell_id=key, **plain)
        for eps, lost in ((0.0, np.zeros(shape)), (0.1, LOSSES))
    ]
    kept = pa.array([one not in missing for one in EVERYTHING])
    tables = {
        "leaderboard": pa.concat_tables([part.filter(kept) for part in values]),
        "gradient_masking": crossed(
            axes, cell_id=key, split="test", eps=0.1, masked_gradients=False, zero_gradient_share=0.0
        ),
        "plan_cells": crossed({"attack": ["apgd"]}, scale_free=True),
    }
    [row] = [row for row in rows_of("claim_robust_loss", tables) if row["is_claim"]]
    return row


def whole(seed: int, method: str) -> list[tuple[int, str, int]]:
    return [(seed, method, where) for where in range(len(FORGET_SETS))]


@pytest.mark.parametrize(
    ("missing", "seeds", "methods"),
    [
        ([], range(5), range(4)),
        (whole(2, "d"), range(5), range(3)),
        ([(2, "d", 1)], range(5), range(3)),  # one forget set of an original is not the original
        ([*whole(0, "c"), *whole(1, "d")], range(5), range(2)),
        ([*whole(0, "b"), *whole(0, "c"), *whole(0, "d")], range(1, 5), range(1, 4)),
    ],
)
def test_the_layout_is_a_full_one(missing: list[tuple[int, str, int]], seeds: range, methods: range) -> None:
    row, table = answer(missing), LOSSES.mean(axis=2)[np.ix_(seeds, methods)]
    assert (row["originals"], row["methods"]) == table.shape
    assert row["effect"] == pytest.approx(table.mean())
    n, m = table.shape
    a, b = table.mean(axis=0).var(ddof=1) / m, table.mean(axis=1).var(ddof=1) / n
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    c = (rest**2).sum() / ((m - 1) * (n - 1)) / table.size
    variance = max(a + b - c, a, b)
    df = variance**2 / (a**2 / (m - 1) + b**2 / (n - 1) + c**2 / ((m - 1) * (n - 1)))
    reach = stats.t.ppf(0.975, max(df, 1)) * np.sqrt(variance)
    assert row["effect_high"] - row["effect"] == pytest.approx(reach, rel=1e-3)


def test_methods_that_share_no_originals_give_no_interval() -> None:
    row = answer([one for seed, method in enumerate(METHODS) for one in whole(seed, method)])
    assert (row["verdict"], row["no_interval"]) == ("undecided", "it takes 2 methods, here is 1")
    assert (row["effect_low"], row["effect_high"]) == (None, None)
