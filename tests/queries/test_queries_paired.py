"""Differences that an attack measured paired, and who is worse off than before, in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.fabricated import setting_of, write_setting
from tests.support.synthetic_shadows import NOON, ROLES

COUNTS = {"retrain": (4, 0.5), "scrub": (9, 0.7), "no_op": (0, 0.5)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store(str(tmp_path_factory.mktemp("results")))
    store.check_ready()
    for method, role in ROLES.items():
        write_cell(store, method, role)
    return Results(store.root)


def write_cell(store: Store, method: str, role: str) -> None:
    count, share = COUNTS[method]
    cell = {
        "group_id": f"{method}-group",
        "reference_id": "retrain-group",
        "run_id": "run-1",
        "dataset": "digits",
        "architecture": "net",
        "method": method,
        "scope": "all",
        "attack": "before_after",
        "attack_family": "per_example",
        "attack_params_json": "{}",
        "forget_set": "random",
        "seed": 0,
        "role": role,
        "status": "finished",
        "finished_at": NOON,
    }
    made = setting_of(cell)
    write_setting(store, made)
    store.write("cells", method, [cell | {"setting": made.setting, "conditions": made.conditions}])
    common: dict[str, Any] = {"split": "retain", "variant": "", "higher_is": "worse"}
    counted = common | {"metric": "examples_worse_than_before", "value": float(count), "n": 40, "param": 0.1}
    shared = common | {"metric": "share_worse_than_before", "value": share, "n": 640}
    shared |= {"ci_low": share - 0.1, "ci_high": share + 0.1}
    if method == "scrub":
        shared |= {"difference": 0.2, "difference_error": 0.02, "difference_df": 7.0}
    store.write("metrics", method, [counted, shared])


def of(results: Results, query: str, method: str) -> dict[str, Any]:
    (row,) = [r for r in results.query(query).to_pylist() if r["method"] == method]
    return row


def test_a_paired_difference_goes_before_one_of_independent_intervals(results: Results) -> None:
    sql = "select * from leaderboard where metric = 'share_worse_than_before'"
    rows = {r["method"]: r for r in results.sql(sql).to_pylist()}
    half = stats.t.ppf(0.975, 7) * 0.02
    paired, independent = rows["scrub"], rows["no_op"]
    assert paired["difference"] == pytest.approx(0.2)
    assert (paired["difference_low"], paired["difference_high"]) == pytest.approx((0.2 - half, 0.2 + half))
    assert (paired["difference_error"], paired["difference_df"]) == (0.02, 7.0)
    assert independent["difference_error"] is None
    assert independent["difference_low"] == pytest.approx(-(0.02**0.5))
    assert (rows["retrain"]["difference_low"], rows["retrain"]["difference_high"]) == (0.0, 0.0)


def test_who_is_worse_off_stands_beside_the_retrained_count(results: Results) -> None:
    row = of(results, "worse_than_before", "scrub")
    assert (row["worse"], row["control"], row["tested"], row["fdr"]) == (9, 4, 40, 0.1)
    assert (row["share"], row["control_share"]) == (0.7, 0.5)
    assert row["share_difference_low"] > 0.15
    assert results.query("worse_than_before", split="forget").num_rows == 0


def test_it_answers_without_results(tmp_path: Path) -> None:
    Store(str(tmp_path)).check_ready()
    assert Results(str(tmp_path)).query("worse_than_before").num_rows == 0
