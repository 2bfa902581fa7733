"""The statistics of the SQL against scipy, scikit-learn and a plain recomputation."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.metrics import roc_curve

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks.statistics.intervals import newcombe, wilson
from tests.benchmarks.coverage.macros import ends, session
from tests.support import synthetic_results as synthetic
from tests.support.audited import write_cell, write_run
from tests.support.fabricated import fabricated_setting, write_plan


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = str(tmp_path_factory.mktemp("results"))
    synthetic.fill(root)
    return Results(root)


def rows(results: Results, query: str, **params: Any) -> list[dict[str, Any]]:
    return results.query(query, **params).to_pylist()


def values(
    results: Results, metric: str, split: str, param: float | None = None
) -> dict[str, dict[str, Any]]:
    """Rows of a metric without classes, by cell."""
    table = results.table("metrics").to_pylist()
    chosen = (r for r in table if r["metric"] == metric and r["split"] == split and r["label"] is None)
    return {r["cell_id"]: r for r in chosen if r["param"] == param}


def test_t_quantile_agrees_with_scipy(results: Results) -> None:
    found = results.sql("select df, t975(df) as t from range(1, 400) as r(df)").to_pydict()
    expected = stats.t.ppf(0.975, np.array(found["df"]))
    np.testing.assert_allclose(found["t"], expected, rtol=0, atol=3e-6)
    assert results.sql("select t975(0) as t").to_pylist() == [{"t": None}]


def test_a_mean_over_seeds_has_students_interval_from_three_seeds_on(results: Results) -> None:
    sample = [0.2, 0.5, 0.9, 0.4]
    of_the_mean = "avg(x), stddev_samp(x), count(x)"
    text = f"select seeds_low({of_the_mean}, -1) as low, seeds_high({of_the_mean}, 2) as high"
    text += " from (select unnest($sample) as x)"
    for count in (3, 4):
        low, high = stats.t.interval(
            0.95, count - 1, loc=np.mean(sample[:count]), scale=stats.sem(sample[:count])
        )
        (found,) = results.sql(text, sample=sample[:count]).to_pylist()
        assert (found["low"], found["high"]) == pytest.approx((low, high))
    for count in (1, 2):
        assert results.sql(text, sample=sample[:count]).to_pylist() == [{"low": -1, "high": 2}]


def two_seeds(root: str) -> Results:
    """Results of the first two seeds only."""
    store = synthetic.fill(root)
    for row in store.read("cells").to_pylist():
        if row["seed"] == 2:
            store.delete("cells", row["cell_id"])
    return Results(root)


def test_two_seeds_give_the_widest_of_their_own_intervals(tmp_path: Path) -> None:
    """Student's t over two seeds that agree by chance would have no width at all."""
    results = two_seeds(str(tmp_path / "results"))
    cells = rows(results, "gap_to_retrained", metric="accuracy", split="forget", method="scrub")
    for row in rows(results, "layer_scope_cost"):
        if row["method"] == "scrub":
            mine = [c for c in cells if c["forget_set"] == row["forget_set"]]
            ends = [(c["difference_low"], c["difference_high"]) for c in mine]
            low = min(0 if a <= 0 <= b else min(abs(a), abs(b)) for a, b in ends)
            assert row["gap_low"] == pytest.approx(low)
            assert row["gap_high"] == pytest.approx(max(max(abs(a), abs(b)) for a, b in ends))
            assert row["noise_floor"] == pytest.approx(np.mean([c["noise_floor"] for c in mine]))
    variance = rows(results, "seed_variance", metric="accuracy", split="forget")
    assert {(r["seeds"], r["mean_low"], r["mean_high"]) for r in variance} == {(2, None, None)}


ANSWERS = (
    "leaderboard",
    "seed_variance",
    "forget_set_difficulty",
    "layer_scope_cost",
    "per_class",
    "robust_drop",
    "fairness_vs_robustness",
    "hardest_examples",
    "harm",
    "verdict",
    "scoreboard",
)


def measured_again(store: Store) -> tuple[list[str], list[str]]:
    """Measure every model of `scrub` again under another setting, with another accuracy and an older clock.

    Returns:
        Ids of the cells of the first plan, and of the second, which has the new cells in place of the old.
    """
    first, second = [], []
    for row in store.read("cells").to_pylist():
        first.append(row["cell_id"])
        if row["method"] != "scrub" or row["status"] != "finished":
            second.append(row["cell_id"])
            continue
        key = synthetic.name("again", row["cell_id"])
        second.append(key)
        new = row | {"cell_id": key, "finished_at": row["finished_at"] - timedelta(days=1)}
        store.write("cells", key, [new | fabricated_setting(row, **{"method.lr": 0.2})])
        for table, path in (("metrics", {}), ("examples", {"attack": row["attack"]}), ("layers", {})):
            if row["cell_id"] in store.keys(table):
                copy = store.read(table, row["cell_id"], **path).to_pylist()
                kept = [{k: v for k, v in r.items() if k not in ("cell_id", *path)} for r in copy]
                for new in kept:
                    if new.get("metric") == "accuracy":
                        new["value"], new["ci_low"], new["ci_high"] = 0.125, 0.1, 0.2
                store.write(table, key, kept, **path)
    return first, second


def test_answers_rest_on_the_plan_that_was_asked_for_last(tmp_path: Path) -> None:
    """Not on the clock: the later plan's cells have the older time stamps, and the first plan can be asked again."""
    store = synthetic.fill(str(tmp_path / "results"))
    results = Results(store.root)
    before = {name: rows(results, name) for name in ANSWERS}
    first, second = measured_again(store)
    write_plan(store, "first", first)
    write_plan(store, "second", second)
    results.refresh()
    for name in ANSWERS:
        after = rows(results, name)
        assert len(after) == len(before[name]), name
        for row in after:
            if row.get("method") == "scrub" and row.get("metric") == "accuracy":
                assert row.get("value", row.get("mean")) == 0.125, name
                assert row.get("seeds") in (None, 3)
    write_plan(store, "third", first, started_at=synthetic.NOON - timedelta(days=9))
    results.refresh()
    assert results.run == "third"
    for name in ("leaderboard", "scoreboard", "hardest_examples"):
        assert _told(rows(results, name)) == _told(before[name]), name


def test_settings_stand_in_rows_of_their_own_when_all_runs_are_asked(tmp_path: Path) -> None:
    store = synthetic.fill(str(tmp_path / "results"))
    first, second = measured_again(store)
    write_plan(store, "first", first)
    write_plan(store, "second", second)
    every, *alone = (Results(store.root, run) for run in ("all", "first", "second"))
    for name in ("leaderboard", "scoreboard", "layer_scope_cost"):
        others = ("rank", "ties", "setting_label")  # these tell of the other rows
        expected = {row for one in alone for row in _told(rows(one, name), without=others)}
        found = _told(rows(every, name), without=others)
        assert len(found) == len(set(found))
        assert set(found) == expected, name


def _told(answer: list[dict[str, Any]], *, without: tuple[str, ...] = ()) -> list[str]:
    """Rows as text, floats to 12 digits: sums of other orders differ beyond."""
    shown = [{k: v for k, v in row.items() if k not in without} for row in answer]
    return [
        json.dumps({k: f"{v:.12g}" if isinstance(v, float) else str(v) for k, v in row.items()})
        for row in shown
    ]


def test_fairness_correlation_counts_each_model_under_one_scope(tmp_path: Path) -> None:
    store = synthetic.fill(str(tmp_path / "results"))
    results = Results(store.root)
    before = rows(results, "fairness_vs_robustness")
    for row in store.read("cells").to_pylist():
        if row["method"] == "scrub" and row["attack"] in ("none", "pgd") and row["status"] == "finished":
            key = synthetic.name("head", row["cell_id"])
            model = synthetic.name("head", row["model_id"])
            store.write("cells", key, [row | {"cell_id": key, "model_id": model, "scope": "head"}])
            for table in ("metrics", "layers"):
                if row["cell_id"] in store.keys(table):
                    copy = store.read(table, row["cell_id"]).to_pylist()
                    store.write(table, key, [r | {"cell_id": key} for r in copy])
    results.refresh()
    for row, old in zip(rows(results, "fairness_vs_robustness"), before, strict=True):
        assert row == pytest.approx(old)
    every = rows(results, "fairness_vs_robustness", scope=None)
    assert {r["models"] for r in every} == {r["models"] + 6 for r in before}
    assert {r["models"] for r in rows(results, "fairness_vs_robustness", scope="head")} == {6}


def test_gap_interval_is_newcombes(results: Results) -> None:
    accuracy = values(results, "accuracy", "forget")
    audited = rows(results, "gap_to_retrained", metric="accuracy", split="forget")
    assert len(audited) == len(list(synthetic.places()))
    compared = 0
    for row in audited:
        place = synthetic.Place(row["forget_set"], row["method"], row["seed"])
        reference = synthetic.Place(place.forget_set, "retrain", place.seed)
        ours, theirs = accuracy[place.cell_id("none")], accuracy[reference.cell_id("none")]
        assert row["retrained"] == theirs["value"]
        assert row["difference"] == pytest.approx(ours["value"] - theirs["value"])
        if row["role"] == "reference":
            assert (row["difference"], row["difference_low"], row["difference_high"]) == (0, 0, 0)
            continue
        low, high = newcombe(round(ours["value"] * 400), 400, round(theirs["value"] * 400), 400)
        assert row["difference_low"] == pytest.approx(float(low), abs=1e-12)
        assert row["difference_high"] == pytest.approx(float(high), abs=1e-12)
        assert row["differs"] == (low > 0 or high < 0)
        compared += 1
    assert compared == 30
    assert {row["differs"] for row in audited} == {True, False}


def test_noise_floor_is_the_second_retrained_model(results: Results) -> None:
    accuracy = values(results, "accuracy", "forget")
    for row in rows(results, "gap_to_retrained", metric="accuracy", split="forget"):
        again = synthetic.Place(row["forget_set"], "retrain_again", row["seed"]).cell_id("none")
        expected = abs(accuracy[again]["value"] - row["retrained"])
        assert row["noise_floor"] == pytest.approx(expected)
        assert row["beyond_noise"] == (abs(row["difference"]) > expected)


def test_seed_interval_is_students_and_never_within_the_mean_ends_of_the_seeds_own(results: Results) -> None:
    accuracy = values(results, "accuracy", "test")
    found = rows(results, "seed_variance", metric="accuracy", split="test")
    assert len(found) == len(synthetic.FORGET_SETS) * len(synthetic.ROLES)
    for row in found:
        cells = [
            synthetic.Place(row["forget_set"], row["method"], seed).cell_id("none")
            for seed in synthetic.SEEDS
        ]
        sample = [accuracy[cell]["value"] for cell in cells]
        low, high = stats.t.interval(0.95, 2, loc=np.mean(sample), scale=stats.sem(sample))
        own = [np.mean([accuracy[cell][end] for cell in cells]) for end in ("ci_low", "ci_high")]
        low, high = max(0.0, min(low, own[0])), min(1.0, max(high, own[1]))
        assert row["seeds"] == 3
        assert row["mean"] == pytest.approx(np.mean(sample))
        assert row["sd"] == pytest.approx(np.std(sample, ddof=1))
        assert (row["mean_low"], row["mean_high"]) == pytest.approx((low, high))


def test_leaderboard_ranks_by_distance_and_spans_seeds(results: Results) -> None:
    found = rows(results, "leaderboard", metric="accuracy", split="forget", forget_set="class:label=3")
    audited = [r for r in found if r["role"] == "audited"]
    ranks = [1 + sum(o["distance_high"] < r["distance_low"] for o in audited) for r in audited]
    assert [r["rank"] for r in audited] == ranks == sorted(ranks)
    per_cell = rows(results, "gap_to_retrained", metric="accuracy", split="forget", method="scrub")
    sample = [abs(r["difference"]) for r in per_cell if r["forget_set"] == "class:label=3"]
    scrub = next(r for r in audited if r["method"] == "scrub")
    assert (scrub["seeds"], scrub["distance"]) == (3, pytest.approx(np.mean(sample)))
    assert scrub["distance_low"] < scrub["distance"] < scrub["distance_high"]


def test_fairness_correlation_is_spearmans_within_seed_and_forget_set(results: Results) -> None:
    robust = {eps: values(results, "robust_accuracy", "test", eps) for eps in synthetic.EPS}
    gaps = [r for r in results.table("layers").to_pylist() if r["label"] is None]
    found = rows(results, "fairness_vs_robustness")
    assert len(found) == (len(synthetic.LAYERS) + 1) * 2
    for row in found:
        strata: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for place in synthetic.places():
            layers = [g for g in gaps if g["cell_id"] == place.cell_id("none")]
            chosen = [g["gap"] for g in layers if row["layer"] in ("(mean)", g["layer"])]
            cell = place.cell_id("pgd")
            drop = robust[0.0][cell]["value"] - robust[row["eps"]][cell]["value"]
            strata.setdefault((place.forget_set, place.seed), []).append((np.mean(chosen), drop))
        parts = [stats.rankdata(np.round(part, 12), axis=0) for part in strata.values()]
        centred = np.concatenate([part - part.mean(axis=0) for part in parts])
        assert row["rho"] == pytest.approx(np.corrcoef(centred.T)[0, 1])
        assert (row["models"], row["strata"], row["originals"]) == (len(centred), len(parts), 3)
        assert (row["rho_low"], row["rho_high"]) == (None, None)
        assert row["no_interval"] == "an interval needs 4 originals (seeds)"


def test_the_interval_over_originals_is_the_jackknifes() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 8))
    y += x
    sums = {"xy": (x * y).sum(axis=1), "xx": (x * x).sum(axis=1), "yy": (y * y).sum(axis=1)}
    low, high = ends("stratified", {name: pa.array([list(column)]) for name, column in sums.items()})

    def fisher(keep: np.ndarray) -> float:
        total = {name: column[keep].sum() for name, column in sums.items()}
        return float(np.arctanh(total["xy"] / np.sqrt(total["xx"] * total["yy"])))

    without = np.array([fisher(np.arange(5) != i) for i in range(5)])
    error = np.sqrt(4 / 5 * np.square(without - without.mean()).sum())
    middle = fisher(np.arange(5) >= 0)
    expected = np.tanh(middle + stats.t.ppf([0.025, 0.975], 4) * error)
    assert (low[0], high[0]) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    ("xy", "xx", "reason"),
    [
        ([1.0, 0.5, 0.2, 0.4], [1.0, 1.0, 1.0, 1.0], None),
        ([1.0, 0.5, 0.2], [1.0, 1.0, 1.0], "an interval needs 4 originals"),
        ([1.0, 1.0, 1.0, 0.2], [1.0, 1.0, 1.0, 1.0], "equal order"),
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], "equal values"),
    ],
)
def test_a_correlation_without_an_interval_says_why(
    xy: list[float], xx: list[float], reason: str | None
) -> None:
    asked = session().execute(
        "select stratified_without($xy, $xx, $yy), stratified_low($xy, $xx, $yy)",
        {"xy": xy, "xx": xx, "yy": [1.0] * len(xy)},
    )
    ((text, low),) = asked.fetchall()
    assert (text is None) == (reason is None) == (low is not None)
    assert reason is None or text.startswith(reason)


@pytest.mark.parametrize("n", [4, 60, 2000])
def test_a_share_in_sql_has_the_interval_of_python(n: int) -> None:
    hits = np.unique(np.linspace(0, n, 40).astype(int).tolist() + list(range(min(n, 14))))
    low, high = ends("wilson", {"share": hits / n, "n": np.full(len(hits), n)})
    expected = wilson(hits, n)
    np.testing.assert_allclose(low, expected[0], atol=1e-7)
    np.testing.assert_allclose(high, expected[1], atol=1e-7)


def test_attack_agreement_is_spearmans_with_ties(results: Results) -> None:
    table = results.table("examples").to_pylist()
    found = rows(results, "attack_agreement")
    assert len(found) == len(list(synthetic.places()))
    row = found[5]
    cell = synthetic.Place(row["forget_set"], row["method"], row["seed"]).cell_id("population")
    mine = [r for r in table if r["cell_id"] == cell and r["split"] == "forget"]
    scores = {
        s: [r["score"] for r in sorted(mine, key=lambda r: r["example_id"]) if r["statistic"] == s]
        for s in ("confidence", "loss")
    }
    assert len(set(scores["loss"])) < len(scores["loss"])
    expected = stats.spearmanr(scores["confidence"], scores["loss"]).statistic
    assert row["rho"] == pytest.approx(expected)
    assert row["n"] == len(synthetic.FORGET_IDS)


def test_roc_is_that_of_scikit_learn(results: Results) -> None:
    cell = synthetic.Place(synthetic.FORGET_SETS[0], "scrub", 1).cell_id("population")
    found = [r for r in rows(results, "roc_one_cell", cell_id=cell) if r["statistic"] == "loss"]
    table = results.sql(
        "select * from examples where cell_id = $c and statistic = 'loss'", c=cell
    ).to_pydict()
    fpr, tpr, thresholds = roc_curve(table["member"], table["score"], drop_intermediate=False)
    assert [r["threshold"] for r in found] == pytest.approx(thresholds[1:])
    assert [r["fpr"] for r in found] == pytest.approx(fpr[1:])
    assert [r["tpr"] for r in found] == pytest.approx(tpr[1:])


def test_robust_drop_compares_with_clean_and_retrained(results: Results) -> None:
    found = rows(results, "robust_drop", split="test")
    assert len(found) == 36 * 3
    by_cell = {(r["forget_set"], r["method"], r["seed"], r["eps"]): r for r in found}
    for (forget_set, method, seed, eps), row in by_cell.items():
        assert row["robust_drop"] == pytest.approx(
            by_cell[forget_set, method, seed, 0.0]["value"] - row["value"]
        )
        assert row["retrained"] == by_cell[forget_set, "retrain", seed, eps]["value"]


def test_hardest_examples_are_farthest_from_retraining(results: Results) -> None:
    table = results.sql("select * from examples where attack = 'none'").to_pylist()
    phi = {(r["cell_id"], r["example_id"]): r["phi"] for r in table}
    distance = {}
    for i in synthetic.FORGET_IDS:
        gaps = [
            phi[p.cell_id("none"), i]
            - phi[synthetic.Place(p.forget_set, "retrain", p.seed).cell_id("none"), i]
            for p in synthetic.places()
            if p.forget_set == "class:label=3" and synthetic.ROLES[p.method] == "audited"
        ]
        distance[int(i)] = np.mean(np.abs(gaps))
    found = [r for r in rows(results, "hardest_examples", top=5) if r["forget_set"] == "class:label=3"]
    expected = sorted(distance, key=lambda i: -distance[i])[:5]
    assert [r["example_id"] for r in found] == expected
    assert found[0]["distance"] == pytest.approx(distance[expected[0]], rel=1e-5)
    assert found[0]["models"] == 9
    again = [
        abs(
            phi[synthetic.Place("class:label=3", "retrain_again", seed).cell_id("none"), expected[0]]
            - phi[synthetic.Place("class:label=3", "retrain", seed).cell_id("none"), expected[0]]
        )
        for seed in synthetic.SEEDS
    ]
    assert found[0]["noise_distance"] == pytest.approx(np.mean(again), rel=1e-5)


def test_scope_cost_compares_with_retraining(results: Results) -> None:
    models = {r["model_id"]: r for r in results.table("models").to_pylist()}
    row = next(
        r
        for r in rows(results, "layer_scope_cost")
        if r["method"] == "scrub" and r["forget_set"] == "class:label=3"
    )
    speedups = []
    for seed in synthetic.SEEDS:
        place = synthetic.Place("class:label=3", "scrub", seed)
        ours, theirs = models[place.model_id], models[place.reference_id]
        speedups.append(theirs["device_seconds"] / ours["device_seconds"])
    assert row["speedup"] == pytest.approx(np.mean(speedups))
    assert row["trainable_share"] == 0.25
    assert row["seeds"] == 3


def test_difficulty_counts_models_that_differ(results: Results) -> None:
    cells = rows(results, "gap_to_retrained", metric="accuracy", split="forget")
    for row in rows(results, "forget_set_difficulty"):
        mine = [c for c in cells if c["forget_set"] == row["forget_set"] and c["role"] == "audited"]
        assert row["models"] == len(mine) == 9
        assert row["gap"] == pytest.approx(np.mean([abs(c["difference"]) for c in mine]))
        assert row["share_differing"] == pytest.approx(np.mean([c["differs"] for c in mine]))
        assert row["seeds"] == 3
        assert 0 <= row["gap_low"] < row["gap"] < row["gap_high"]


def test_cost_shares_add_up(results: Results) -> None:
    found = rows(results, "cost")
    assert sum(r["share"] for r in found) == pytest.approx(1)
    total = sum(r["seconds"] for r in results.table("costs").to_pylist())
    assert sum(r["seconds"] for r in found) == pytest.approx(total)
    assert sum(r["stages"] for r in found) == 36
    assert {r["method"] for r in found} == set(synthetic.ROLES)


def test_failures_name_cells_and_models(results: Results) -> None:
    found = rows(results, "failures")
    assert [(r["what"], r["error_type"]) for r in found] == [("cell", "Diverged"), ("model", "Diverged")]


def test_per_class_rows_have_labels(results: Results) -> None:
    found = rows(results, "per_class", method="scrub")
    assert len(found) == 6 * 3
    assert {r["label"] for r in found} == {0, 1, 2}
    assert all(r["retrained"] is not None for r in found)


def test_the_cost_of_an_attack_on_shadow_models_stands_at_its_cell(tmp_path: Path) -> None:
    """A group of shadow models has no row in `models`: the cell tells what was worked on."""
    store = Store(str(tmp_path))
    write_run(store)
    cell_id = write_cell(store, "scrub", attack="u_lira", model_id="group")
    cost = {"model_id": "group", "stage": "attack", "device": "cpu", "seconds": 1.5}
    store.write("costs", cell_id, [cost])
    with Results(str(tmp_path)) as results:
        (found,) = rows(results, "cost")
    place = ("digits", "net", "scrub", "all", "u_lira")
    assert tuple(found[name] for name in ("dataset", "architecture", "method", "scope", "attack")) == place
