"""One setting behind each number: of the attacks beside a model, of its seeds, of the device that a time is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.queries.test_costs_and_masking import CPU, GPU, write_model, write_scope, write_stage
from tests.support.audited import write_accuracy, write_cell, write_models, write_run
from tests.support.fabricated import setting_of, write_setting


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Empty results with one run."""
    store = Store(str(tmp_path))
    write_run(store, cells=40)
    return store


def write_attacked(store: Store, method: str, seed: int, value: float, **changes: Any) -> None:
    """An AUC of a membership attack on a model, in a setting of the attack that `changes` name."""
    axes = {"architecture": "net", "method": method, "attack": changes["attack"]}
    options = changes.pop("options")
    metric = changes.pop("metric", {"variant": "loss_threshold", "split": "forget", "game": "population"})
    made = setting_of(axes, **{"attack.option": options})
    write_setting(store, made)
    told = {"setting": made.setting, "conditions": made.conditions, "cell_id": f"{method}-{seed}-{options}"}
    cell_id = write_cell(store, method, seed=seed, **told, **changes)
    store.write(
        "metrics", cell_id, [{"metric": "auc", "value": value, "n": 100, "higher_is": "worse", **metric}]
    )


def write_plain(store: Store, method: str, seed: int) -> None:
    """A cell without attack, under a setting that is there."""
    made = setting_of({"architecture": "net", "method": method, "attack": "none"})
    write_setting(store, made)
    told = {"setting": made.setting, "conditions": made.conditions}
    write_accuracy(store, write_cell(store, method, seed=seed, **told), 0.9, 0.05)


@pytest.mark.parametrize("query", ["scoreboard", "method_table"])
def test_the_auc_beside_a_model_is_of_the_setting_that_most_models_met(store: Store, query: str) -> None:
    """Two draws at seeds 0 and 1; five at seed 2, of one method at seed 0 as well, and alone of another."""
    for method, shift in (("retrain", 0.0), ("finetune", 0.1), ("scrub", 0.2)):
        for seed in range(3):
            write_plain(store, method, seed)
            met = {2: 0.5 + shift} if seed < 2 else {5: 0.9}
            met |= {5: 0.8} if (method, seed) == ("finetune", 0) else {}
            for draws, value in met.items():
                write_attacked(
                    store, method, seed, value, attack="population", attack_family="population", options=draws
                )
    write_plain(store, "ssd", 0)
    write_attacked(store, "ssd", 0, 0.8, attack="population", attack_family="population", options=5)
    with Results(store.root) as results:
        found = {row["method"]: row["mia_auc"] for row in results.query(query).to_pylist()}
    assert found == {"retrain": 0.5, "finetune": pytest.approx(0.6), "scrub": pytest.approx(0.7), "ssd": None}


def test_risks_of_methods_are_of_the_setting_of_the_attack_that_most_of_them_met(store: Store) -> None:
    exposed = {"variant": "u_lira:example_mean", "split": "forget", "game": "G2"}
    for method, met in {
        "retrain": {1: 0.5, 2: 0.9, 3: 0.9},
        "finetune": {1: 0.6, 2: 0.9},
        "scrub": {1: 0.7, 3: 0.9},
        "ssd": {2: 0.9},
    }.items():
        write_plain(store, method, 0)
        for folds, value in met.items():
            write_attacked(
                store,
                method,
                0,
                value,
                attack="u_lira_g2",
                attack_family="per_example",
                options=folds,
                metric=exposed,
                model_id=None,
                group_id=f"shadows-{method}",
            )
    with Results(store.root) as results:
        found = {row["method"]: row["risk_auc"] for row in results.query("method_table").to_pylist()}
    # 1 and 2 were met by three methods each
    assert found in (
        {"retrain": 0.5, "finetune": 0.6, "scrub": 0.7, "ssd": None},
        {"retrain": 0.9, "finetune": 0.9, "scrub": None, "ssd": 0.9},
    )


def test_times_of_seeds_on_two_kinds_of_device_are_not_averaged(store: Store) -> None:
    for seed, device in enumerate((CPU, CPU, GPU)):
        write_model(store, f"retrain-{seed}", "retrained", 8.0, device=device)
        write_accuracy(store, write_cell(store, "retrain", seed=seed), 0.5, 0.01)
        write_scope(store, "all", seed, 0.6, 4.0)
        key = {"method": "finetune", "scope": "all", "seed": seed, "retrained_id": f"retrain-{seed}"}
        write_model(
            store,
            f"all-{seed}",
            "unlearned",
            4.0,
            device=device,
            num_parameters=9,
            trainable_parameters=3,
            **key,
        )
        if seed < 2:
            write_scope(store, "head", seed, 0.6, 2.0)
    with Results(store.root) as results:
        scopes = {row["scope"]: row for row in results.query("layer_scope_cost").to_pylist()}
        seconds = {row["method"]: row["seconds"] for row in results.query("method_table").to_pylist()}
    times = ("device_seconds", "retrained_device_seconds", "speedup")
    assert [scopes["all"][name] for name in times] == [None, None, 2.0]
    assert [scopes["head"][name] for name in times] == [2.0, 8.0, 4.0]
    assert seconds == {"retrain": None, "finetune": None}


def test_times_of_shared_stages_on_another_kind_of_device_are_not_those_of_the_model(store: Store) -> None:
    write_stage(store, "fisher", 3.0, device=GPU)
    write_stage(store, "saliency", 0.5)
    for method, rests_on in (("ssd", ("fisher", "saliency")), ("salun", ("saliency",)), ("plain", ())):
        write_model(store, method, "unlearned", 1.0, rests_on=rests_on)
        write_cell(store, method, model_id=method)
    with Results(store.root) as results:
        rows = results.sql("select * from model_costs").to_pylist()
    names = ("shared_stages", "shared_samples", "shared_seconds", "shared_device_seconds", "device_seconds")
    assert {row["model_id"]: [row[name] for name in names] for row in rows} == {
        "ssd": [2, 35, None, None, None],
        "salun": [1, 5, 1.0, 0.5, 1.5],
        "plain": [0, 0, 0.0, 0.0, 1.0],
    }


def test_seeds_of_other_models_are_no_replicates_of_a_forget_set(store: Store) -> None:
    """One method at every seed, another at two: the interval over seeds would be of what was measured at each."""
    for place, seeds_of_scrub in (("whole", 3), ("part", 2)):
        names = {"forget_set": place, "forget_digest": place}
        for seed in range(3):
            methods = ("retrain", "finetune", "scrub")[: 3 if seed < seeds_of_scrub else 2]
            for method in methods:
                key = {"model_id": f"{method}-{place}-{seed}", "reference_id": f"retrain-{place}-{seed}"}
                cell_id = write_cell(
                    store, method, seed=seed, cell_id=f"{place}-{method}-{seed}", **key, **names
                )
                write_accuracy(store, cell_id, {"retrain": 0.5, "finetune": 0.6, "scrub": 0.9}[method], 0.01)
    with Results(store.root) as results:
        rows = {row["forget_set"]: row for row in results.query("forget_set_difficulty").to_pylist()}
    assert {name: row["models"] for name, row in rows.items()} == {"whole": 6, "part": 5}
    assert rows["whole"]["gap_low"] < 0.25 < rows["whole"]["gap_high"]
    assert (rows["part"]["gap_low"], rows["part"]["gap_high"]) == (None, None)


def test_models_of_two_settings_are_told_apart_by_a_label(store: Store) -> None:
    for method in ("retrain", "retrain_again", "retrain_third", "finetune"):
        for lr in (0.1, 0.2) if method == "finetune" else (None,):
            for seed in range(2):
                axes = {"architecture": "net", "method": method, "attack": "none"}
                made = setting_of(axes, **({"method.lr": lr} if lr else {}), **{"evaluation.fprs": [0.1]})
                write_setting(store, made)
                told = {"setting": made.setting, "conditions": "same", "cell_id": f"{method}-{lr}-{seed}"}
                cell_id = write_cell(store, method, seed=seed, model_id=f"{method}-{lr}-{seed}", **told)
                write_accuracy(store, cell_id, 0.5 + (lr or 0), 0.01)
    with Results(store.root) as results:
        rows = results.query("model_verdicts").to_pylist()
    assert [(row["method"], row["setting_label"]) for row in rows if row["role"] == "control"] == [
        ("retrain_third", "")
    ]
    assert {row["setting_label"] for row in rows if row["role"] == "audited"} == {"lr=0.1", "lr=0.2"}


def test_what_was_not_measured_is_no_comparison_behind_the_verdicts(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "made"))
    write_run(store, primary=("accuracy:forget", "accuracy:test"))
    write_models(store, {"retrain": 0.5, "retrain_again": 0.5, "finetune": 0.6, "scrub": 0.7})
    with Results(store.root) as results:
        models = results.query("model_verdicts").to_pylist()
        counts = results.query("verdict_counts").to_pylist()
    assert [row["primary_measures"] for row in models] == [2, 2]
    assert [row["measures"] for row in counts] == [2, 2]  # of the place, and of all of them
