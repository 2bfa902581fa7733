"""The SQL of per-example results against NumPy and SciPy on observations of a known kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support import synthetic_shadows as synthetic
from tests.support.fabricated import write_plan

QUERIES = (
    "population_vs_per_example",
    "per_example_vulnerability",
    "retain_harm",
    "stopping",
    "shadow_health",
    "attack_agreement",
    "example_auc",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store(str(tmp_path_factory.mktemp("results")))
    store.check_ready()
    synthetic.fill(store)
    return Results(store.root)


def rows(results: Results, query: str, **params: Any) -> list[dict[str, Any]]:
    return results.query(query, **params).to_pylist()


def aucs(results: Results, cell: str) -> np.ndarray:
    table = results.store.read("examples", cell, attack=cell.partition("-")[2]).to_pylist()
    return np.array([r["score"] for r in table if r["statistic"] == "u_lira_online:auc"])


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = str(tmp_path_factory.mktemp("empty"))
    Store(root).check_ready()
    return Results(root)


@pytest.mark.parametrize("query", QUERIES)
def test_it_answers_without_results_in_the_same_columns(query: str, results: Results, empty: Results) -> None:
    nothing, something = empty.query(query), results.query(query)
    assert nothing.num_rows == 0
    assert something.num_rows > 0
    assert nothing.schema.types == something.schema.types


def test_stopping_is_the_standardised_difference_of_numpy(results: Results) -> None:
    generator = np.random.Generator(np.random.PCG64(20250302))
    written = synthetic.trajectory(generator)
    written["phi"] = written["phi"].astype(np.float32).astype(np.float64)
    found = {r["epoch"]: r for r in rows(results, "stopping")}
    assert set(found) == set(range(synthetic.EPOCHS + 1))
    everyone = [separations(written, pairs) for pairs in ({0, 1}, {0}, {1})]
    for epoch, row in found.items():
        separation, error = everyone[0][0][:, epoch], everyone[0][1][:, epoch]
        assert row["examples"] == len(synthetic.TARGETS)
        assert row["mean_distance"] == pytest.approx(np.abs(separation).mean())
        assert row["chance"] == pytest.approx((error * np.sqrt(2 / np.pi)).mean())
        assert row["remembered"] == pytest.approx((separation > 2 * error).mean())
        assert row["overforgotten"] == pytest.approx((separation < -2 * error).mean())
    closest = [np.abs(s).argmin(1) for s, _ in everyone]
    single = [int(np.abs(s).mean(0).argmin()) for s, _ in everyone]
    share = np.bincount(closest[0], minlength=synthetic.EPOCHS + 1) / len(synthetic.TARGETS)
    assert [found[e]["closest_here"] for e in found] == pytest.approx(list(share))
    assert [found[e]["best_single"] for e in found] == [e == single[0] for e in found]
    across = np.arange(len(synthetic.TARGETS))
    own = [np.abs(everyone[2 - h][0][across, closest[1 + h]]) for h in (0, 1)]
    fixed = [np.abs(everyone[2 - h][0][:, single[1 + h]]) for h in (0, 1)]
    assert found[0]["held_out_own"] == pytest.approx(np.mean(own))
    assert found[0]["held_out_single"] == pytest.approx(np.mean(fixed))
    gain = (np.array(fixed) - np.array(own)).mean(0)
    assert found[0]["held_out_gain"] == pytest.approx(gain.mean())
    assert found[0]["agreement"] == pytest.approx(stats.spearmanr(closest[1], closest[2]).statistic)


def separations(written: dict[str, np.ndarray], halves: set[int]) -> tuple[np.ndarray, np.ndarray]:
    """Standardised difference and its standard error, targets x epochs, of the pairs of some halves."""
    shape = (len(synthetic.TARGETS), synthetic.EPOCHS + 1)
    separation, error = np.zeros(shape), np.zeros(shape)
    chosen = np.isin(written["shadow"] // 2 % 2, list(halves))
    for row, i in enumerate(synthetic.TARGETS):
        for epoch in range(shape[1]):
            here = chosen & (written["example_id"] == i) & (written["epoch"] == epoch)
            sides = []
            for state in ("unlearned", "never"):
                mine = here & (written["state"] == state)
                shadows = np.unique(written["shadow"][mine])
                sides.append([written["phi"][mine & (written["shadow"] == j)].mean() for j in shadows])
            ours, never = map(np.array, sides)
            spread = np.sqrt((ours.var(ddof=1) + never.var(ddof=1)) / 2)
            separation[row, epoch] = (ours.mean() - never.mean()) / spread
            error[row, epoch] = (
                np.sqrt(ours.var(ddof=1) / len(ours) + never.var(ddof=1) / len(never)) / spread
            )
    return separation, error


def test_stopping_shows_that_no_epoch_protects_all(results: Results) -> None:
    found = rows(results, "stopping")
    assert all(max(r["remembered"], r["overforgotten"]) > 0.3 for r in found)
    assert (found[0]["closest_low"], found[0]["closest_high"]) == (0, synthetic.EPOCHS)
    assert found[0]["agreement"] > 0.9
    assert found[0]["held_out_own"] < 0.3 * found[0]["held_out_single"]


@pytest.fixture(scope="module")
def two_settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, ...]:
    """Sessions over groups of one name and two settings: of the plan with one, of that with the other, of both."""
    store = Store(str(tmp_path_factory.mktemp("two-settings")))
    store.check_ready()
    generator = np.random.Generator(np.random.PCG64(20250302))
    cells = {}
    for group, shift in (("observed", 0.0), ("other", 3.0)):
        synthetic.write_work(store, group=group, finished_at=synthetic.NOON)
        synthetic.write_trajectories(store, generator, group=group, shift=shift)
        cells[group] = synthetic.write_cell(
            store, generator, "scrub", "audited", "u_lira_g2", "G2", group=group
        )
    write_plan(store, "first", [cells["observed"]])
    write_plan(store, "second", [cells["other"]])
    return tuple(Results(store.root, run) for run in ("first", None, "all"))


@pytest.mark.parametrize("query", ["stopping", "forgetting_order"])
def test_two_settings_of_a_method_never_meet(
    results: Results, two_settings: tuple[Results, ...], query: str
) -> None:
    """Another layout or other hyper-parameters give another group under the same names."""
    expected, first, last, every = (rows(session, query) for session in (results, *two_settings))
    for ours, theirs in zip(first, expected, strict=True):
        assert ours == pytest.approx(theirs)
    assert last != first
    assert len(every) == 2 * len(expected)
    for chosen in (first, last):
        mine = [row for row in every if row["setting"] == chosen[0]["setting"]]
        for ours, theirs in zip(mine, chosen, strict=True):
            assert ours == pytest.approx(theirs)


def test_vulnerability_is_the_quantiles_of_numpy(results: Results) -> None:
    found = rows(results, "per_example_vulnerability")
    assert {(r["method"], r["attack"]) for r in found} == {
        (m, a) for m in synthetic.ROLES for a in ("u_lira_g1", "u_lira_g2")
    }
    for row in found:
        auc = aucs(results, f"{row['method']}-{row['attack']}")
        floor = np.quantile(aucs(results, f"retrain-{row['attack']}"), 0.95)
        quantiles = [row[q] for q in ("q05", "q25", "median", "q75", "q95")]
        assert quantiles == pytest.approx(list(np.quantile(auc, [0.05, 0.25, 0.5, 0.75, 0.95])))
        assert row["mean"] == pytest.approx(auc.mean())
        assert row["floor_q95"] == pytest.approx(floor)
        assert row["above_floor"] == pytest.approx((auc > floor).mean())
        assert row["above_half"] == pytest.approx((auc - np.float32(0.15) > 0.5).mean(), abs=1 / 29)
        for fdr in (0.1, 0.45):
            (again,) = [
                r
                for r in rows(results, "per_example_vulnerability", fdr=fdr)
                if (r["method"], r["attack"]) == (row["method"], row["attack"])
            ]
            assert again["vulnerable"] == (1 - auc <= np.float32(fdr)).sum()
            assert again["vulnerable_share"] == pytest.approx(again["vulnerable"] / len(auc))
            assert again["significant"] == ((1 - auc) / 4 <= np.float32(fdr)).sum()
            assert (again["tested"], again["significant_by_chance"]) == (
                len(auc),
                pytest.approx(fdr * len(auc)),
            )
        assert row["highest"] == auc.max()
        assert row["highest_example"] == synthetic.TARGETS[auc.argmax()]


def test_where_no_example_was_tested_none_is_counted(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    key = synthetic.write_cell(store, np.random.default_rng(0), "scrub", "audited", "u_lira_g2", "G2")
    kept = [
        r
        for r in store.read("examples", key, attack="u_lira_g2").to_pylist()
        if "_value" not in r["statistic"]
    ]
    own = ("cell_id", "attack")
    store.write(
        "examples", key, [{k: v for k, v in r.items() if k not in own} for r in kept], attack="u_lira_g2"
    )
    (row,) = rows(Results(store.root), "per_example_vulnerability")
    counts = ("vulnerable", "vulnerable_share", "significant", "significant_by_chance")
    assert [row[name] for name in ("tested", *counts)] == [0, None, None, None, None]
    assert row["above_half"] is not None


def test_population_stands_beside_per_example_with_floor_and_ceiling(results: Results) -> None:
    found = rows(results, "population_vs_per_example")
    assert len(found) == len(synthetic.ROLES) * 2
    for row in found:
        mean = {m: float(aucs(results, f"{m}-{row['attack']}").mean()) for m in synthetic.ROLES}
        assert row["value"] == pytest.approx(mean[row["method"]], abs=1e-6)
        assert row["floor"] == pytest.approx(mean["retrain"], abs=1e-6)
        assert row["ceiling"] == pytest.approx(mean["no_op"], abs=1e-6)
        assert row["value_low"] < row["value"] < row["value_high"]
        position = (row["value"] - mean["retrain"]) / (mean["no_op"] - mean["retrain"])
        assert row["position"] == pytest.approx(position, abs=1e-5)


def test_retain_harm_has_the_retrained_control_beside(results: Results) -> None:
    found = rows(results, "retain_harm")
    assert len(found) == len(synthetic.ROLES)
    control = float(aucs(results, "retrain-retain_harm").mean())
    for row in found:
        assert row["control"] == pytest.approx(control - 0.5, abs=1e-6)
        width = np.hypot(row["value"] - row["value_low"], row["control_high"] - row["control"])
        assert row["worse"] == (row["method"] != "retrain" and row["difference"] - width > 0)
    assert any(r["worse"] for r in found)


def test_health_counts_masks_columns_and_failures(results: Results) -> None:
    (row,) = rows(results, "shadow_health")
    assert (row["shadows"], row["pairs"], row["unique_masks"]) == (16, 8, 16)
    assert (row["members_low"], row["members_high"], row["unbalanced_examples"]) == (40, 40, 0)
    assert row["train_accuracy"] == pytest.approx(0.9 + np.arange(16).mean() / 1000)
    assert (row["draws"], row["failed_draws"], row["failing_methods"]) == (32, 1, "scrub")
    assert (row["seconds_per_training"], row["all_seconds"]) == (2.0, 16.0)


def test_health_sees_unbalanced_and_repeated_masks(results: Results, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.check_ready()
    synthetic.write_shadows(store)
    inside = synthetic.masks()[0]
    inside[[0, 1, 79]] ^= True
    row = store.read("shadows", "shadow0").to_pylist()[0] | {"in_digest": "mask1"}
    row["in_mask"] = np.packbits(inside, bitorder="little").tobytes()
    store.write("shadows", "shadow0", [row])
    synthetic.write_cell(store, np.random.default_rng(0), "scrub", "audited", "u_lira_g2", "G2")
    (found,) = rows(Results(store.root), "shadow_health")
    assert (found["unbalanced_examples"], found["unique_masks"]) == (3, 15)
    assert found["members_low"] == min(40, inside.sum())


def test_agreement_compares_examples_and_not_runs(results: Results) -> None:
    found = rows(results, "attack_agreement")
    for row in found:
        cells = [f"{row['method']}-{row[side].partition('/')[0]}" for side in ("attack", "other_attack")]
        expected = stats.spearmanr(aucs(results, cells[0]), aucs(results, cells[1])).statistic
        assert row["n"] == len(synthetic.TARGETS)
        assert row["rho"] == pytest.approx(expected)
        assert row["rho_low"] is row["rho_high"] is None  # examples share their shadow models
    assert len(found) == len(synthetic.ROLES)


@pytest.mark.parametrize("fdr", [0.1, 0.45])
def test_example_auc_tells_examples_apart_by_their_own_q_value(results: Results, fdr: float) -> None:
    found = rows(results, "example_auc", fdr=fdr)
    assert len({(r["method"], r["attack"], r["example_id"]) for r in found}) == len(found)
    for method in synthetic.ROLES:
        mine = [r for r in found if (r["method"], r["attack"]) == (method, "u_lira_g2")]
        auc = aucs(results, f"{method}-u_lira_g2")
        control = aucs(results, "retrain-u_lira_g2")
        assert [r["auc"] for r in mine] == list(auc)
        assert [r["p_value"] for r in mine] == pytest.approx(list((1 - auc) / 4))
        assert [r["told_apart"] for r in mine] == list(1 - auc <= np.float32(fdr))
        assert [r["retrained_told_apart"] for r in mine] == list(1 - control <= np.float32(fdr))
