"""Several settings of one method: each is judged beside other methods, and together they are one method of a pool."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.queries.test_uneven_claims import LOSSES
from tests.support.claim_session import crossed, rows_of

SEEDS = range(5)
BASES = {"twin": "twin", "twin_long": "twin", "finetune": "finetune", "scrub": "scrub"}
NOISE = 0.001 * np.random.default_rng(5).normal(size=(len(BASES), len(SEEDS)))
GAPS = dict(zip(BASES, np.array([[0.030], [0.010], [0.020], [0.040]]) + NOISE, strict=True))
PLACE = {"dataset": "d", "architecture": "net", "conditions": "same"}


def distances() -> pa.Table:
    rows = [
        {
            "place": PLACE,
            "method": name,
            "base": BASES[name],
            "setting": f"of {name}",
            "seed": seed,
            "gap": float(gap),
            "attack": "none",
            "metric": "accuracy",
            "scope": "all",
            "forget_set": "f",
            "splits": 3,
        }
        for name, gaps in GAPS.items()
        for seed, gap in zip(SEEDS, gaps, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def judged(planned: pa.Table | None = None, **params: Any) -> dict[str, dict[str, Any]]:
    tables = {"distances_over_splits": distances()} | ({"planned_cells": planned} if planned else {})
    return {row["method"]: row for row in rows_of("claim_closest", tables, **params)}


@pytest.mark.parametrize(("name", "rival"), [("twin", "finetune"), ("twin_long", "finetune")])
def test_each_setting_of_twin_is_judged_beside_what_is_no_twin(name: str, rival: str) -> None:
    rows = judged()
    lead = GAPS[rival] - GAPS[name]
    assert rows[name]["is_claim"]
    assert (rows[name]["closest_rival"], rows[name]["methods"]) == (rival, 3)
    assert rows[name]["effect"] == pytest.approx(lead.mean())
    assert {row["method"] for row in rows.values() if row["is_claim"]} == {"twin", "twin_long"}
    assert (rows["twin"]["verdict"], rows["twin_long"]["verdict"]) == ("contradicted", "supported")


def test_rivals_stand_beside_the_closest_setting() -> None:
    rows = judged()
    assert rows["scrub"]["effect"] == pytest.approx((GAPS["scrub"] - GAPS["twin_long"]).mean())


def test_one_setting_may_be_asked_for_and_has_no_twin_as_a_rival() -> None:
    rows = judged(method="twin_long")
    assert sorted(rows) == ["finetune", "scrub", "twin_long"]


@pytest.mark.parametrize(
    ("method", "verdict"), [("salun", "undecided"), ("twin_short", "supported"), ("scrub", "supported")]
)
def test_a_planned_rival_that_is_not_measured_keeps_twin_from_winning(method: str, verdict: str) -> None:
    planned = crossed(
        {"seed": SEEDS},
        **PLACE,
        forget_set="f",
        attack="none",
        scope="all",
        role="audited",
        method=method,
        setting=f"of {method}",
    )
    bases = pa.table({"setting": ["of twin_short"], "base": ["twin"]})
    tables = {"distances_over_splits": distances(), "planned_cells": planned, "base_methods": bases}
    [row] = [row for row in rows_of("claim_closest", tables) if row["method"] == "twin_long"]
    assert row["verdict"] == verdict
    assert row["unmeasured"] == ("salun" if verdict == "undecided" else None)


def test_settings_of_one_method_are_one_method_of_the_pool() -> None:
    names, losses = ("a", "a_long", "b", "c"), LOSSES.mean(axis=2)
    bases = pa.table({"setting": [f"of {name}" for name in names], "base": ["a", "a", "b", "c"]})
    axes = {"seed": SEEDS, "method": names}
    plain = {
        **PLACE,
        "setting": np.array([f"of {name}" for name in names]),
        "forget_set": "f",
        "scope": "all",
        "role": "audited",
        "attack": "apgd",
        "metric": "robust_accuracy",
        "split": "test",
        "variant": "",
        "label": None,
        "higher_is": "better",
        "n": 64,
        "noise_floor": 0.0,
        **dict.fromkeys(("ci_low", "ci_high", "difference_low", "difference_high"), 0.0),
    }
    key = np.array([[f"{seed}-{name}" for name in names] for seed in SEEDS])
    values = [
        crossed(axes, param=eps, value=0.5 - lost, retrained=0.5, difference=-lost, cell_id=key, **plain)
        for eps, lost in ((0.0, np.zeros(losses.shape)), (0.1, losses))
    ]
    tables = {
        "leaderboard": pa.concat_tables(values),
        "base_methods": bases,
        "gradient_masking": crossed(
            axes, cell_id=key, split="test", eps=0.1, masked_gradients=False, zero_gradient_share=0.0
        ),
        "plan_cells": crossed({"attack": ["apgd"]}, scale_free=True),
    }
    [row] = [row for row in rows_of("claim_robust_loss", tables) if row["is_claim"]]
    table = np.stack([losses[:, :2].mean(axis=1), losses[:, 2], losses[:, 3]], axis=1)
    assert (row["methods"], row["settings"], row["originals"]) == (3, 4, 5)
    assert row["effect"] == pytest.approx(table.mean())
    assert row["effect"] != pytest.approx(losses.mean())
