"""Views of cost and of masked gradients, on hand-made rows with known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import NOON, write_accuracy, write_cell, write_run

CPU, GPU = "cpu", "NVIDIA H100"


def write_model(
    store: Store, key: str, kind: str, seconds: float, *, rests_on: tuple[str, ...] = (), **more: Any
) -> None:
    """A row of `models` that took so many device seconds, ten times as many samples, and twice the time."""
    row = {
        "kind": kind,
        "status": "finished",
        "device": CPU,
        "seconds": 2 * seconds,
        "device_seconds": seconds,
        "samples": int(10 * seconds),
        "forward_samples": 1,
        "peak_bytes": 100,
        "rests_on_json": json.dumps(rests_on),
        "finished_at": NOON,
    }
    store.write("models", key, [row | more])


def write_stage(store: Store, key: str, seconds: float, device: str = CPU) -> None:
    """A row of `costs` of a shared stage."""
    row = {"stage": "share", "device": device, "seconds": 2 * seconds, "device_seconds": seconds}
    store.write("costs", key, [row | {"samples": int(10 * seconds), "forward_samples": 0, "peak_bytes": 300}])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Empty results with one run."""
    store = Store(str(tmp_path))
    write_run(store)
    return store


def test_a_model_costs_its_own_work_and_all_of_what_it_rests_on(store: Store, tmp_path: Path) -> None:
    write_stage(store, "fisher", 3.0)
    write_stage(store, "saliency", 0.5)
    write_stage(store, "elsewhere", 0.5, device=GPU)
    write_model(store, "retrained", "retrained", 8.0)
    write_model(store, "slow", "retrained", 8.0, device=GPU)
    write_model(store, "ssd", "unlearned", 1.0, rests_on=("fisher", "saliency"), retrained_id="retrained")
    write_model(store, "salun", "unlearned", 1.5, rests_on=("saliency",), retrained_id="retrained")
    write_model(store, "plain", "unlearned", 2.0, retrained_id="slow")
    write_model(store, "mixed", "unlearned", 2.0, rests_on=("elsewhere",), retrained_id="retrained")
    write_model(store, "unplanned", "unlearned", 2.0, retrained_id="retrained")
    for method in ("ssd", "salun", "plain", "mixed"):
        reference = "slow" if method == "plain" else "retrained"
        write_cell(store, method, model_id=method, reference_id=reference)
    names = (
        "own_samples",
        "shared_samples",
        "samples",
        "shared_stages",
        "device_seconds",
        "seconds",
        "ratio",
    )
    rows = Results(str(tmp_path)).sql("select * from model_costs").to_pylist()
    found = {row["model_id"]: tuple(row[name] for name in names) for row in rows}
    assert found == {
        "retrained": (80, 0, 80, 0, 8.0, 16.0, None),
        "slow": (80, 0, 80, 0, 8.0, 16.0, None),
        "ssd": (10, 35, 45, 2, 4.5, 9.0, 4.5 / 8),
        "salun": (15, 5, 20, 1, 2.0, 4.0, 0.25),
        "plain": (20, 0, 20, 0, 2.0, 4.0, None),
        "mixed": (20, 5, 25, 1, None, None, None),
    }
    assert {row["peak_bytes"] for row in rows if row["model_id"] in ("ssd", "plain")} == {300, 100}


def write_robust(
    store: Store, attack: str, accuracy: float, *, zero: float | None = None, eps: float = 0.1, **changes: Any
) -> str:
    """A cell of an attack with robust accuracy +- .02 on the test set."""
    changes = {"attack_family": "adversarial", "attack_params_json": '{"norm": "Linf"}'} | changes
    cell = write_cell(store, "finetune", attack=attack, **changes)
    row = {"split": "test", "variant": "", "param": eps, "n": 400, "higher_is": "better"}
    ends = {"ci_low": accuracy - 0.02, "ci_high": accuracy + 0.02}
    rows = [row | {"metric": "robust_accuracy", "value": accuracy} | ends]
    if zero is not None:
        rows.append(row | {"metric": "zero_gradient_share", "value": zero})
    store.write("metrics", cell, rows)
    return cell


def test_a_gradient_attack_that_a_scale_free_one_outdoes_is_flagged(store: Store, tmp_path: Path) -> None:
    masked = write_robust(store, "pgd", 0.60, zero=0.5, scale_free=False)
    close = write_robust(store, "apgd", 0.21, zero=0.0, scale_free=False)
    free = write_robust(store, "apgd-dlr", 0.25, zero=0.0, scale_free=True)
    untried = write_robust(store, "untried", 0.21, zero=0.021, scale_free=False)
    tried = write_robust(store, "tried", 0.21, zero=0.019, scale_free=False)
    square = write_robust(store, "square", 0.20, scale_free=True)
    alone = write_robust(store, "fgsm", 0.60, zero=0.0, eps=0.2, scale_free=False)
    elsewhere = write_robust(
        store, "cw", 0.60, zero=0.0, scale_free=False, attack_params_json='{"norm": "L2"}'
    )
    rows = Results(str(tmp_path)).sql("select * from gradient_masking").to_pylist()
    found = {row["cell_id"]: (row["masked_gradients"], row["lowest_attack"]) for row in rows}
    assert found == {
        masked: (True, "square"),
        close: (False, "square"),
        free: (True, "square"),
        untried: (True, "square"),
        tried: (False, "square"),
        square: (False, "square"),
        alone: (None, None),
        elsewhere: (None, None),
    }
    shares = {row["attack"]: row["zero_gradient_share"] for row in rows}
    assert (shares["pgd"], shares["square"]) == (0.5, None)


def write_scope(store: Store, scope: str, seed: int, value: float, seconds: float, **of_cell: Any) -> None:
    """A model of a scope, its cell, and its accuracy on the forget set next to .5 of the retrained model."""
    key = f"{scope}-{seed}"
    more = {"method": "finetune", "scope": scope, "seed": seed, "retrained_id": f"retrain-{seed}"}
    write_model(store, key, "unlearned", seconds, num_parameters=10, trainable_parameters=5, **more)
    cell = write_cell(
        store, "finetune", seed=seed, scope=scope, model_id=key, cell_id=f"cell-{key}", **of_cell
    )
    write_accuracy(store, cell, value, 0.01)


def test_scopes_are_compared_with_all_layers_at_equal_seeds(store: Store, tmp_path: Path) -> None:
    gaps = {
        "all": (0.10, 0.12, 0.30),
        "head": (0.15, 0.16, 0.30),
        "last-1": (0.20,),
        "last-2": (0.15, 0.17, 0.35),
    }
    for seed in range(3):
        write_model(store, f"retrain-{seed}", "retrained", 8.0)
        write_accuracy(store, write_cell(store, "retrain", seed=seed), 0.5, 0.01)
    for scope, values in gaps.items():
        for seed, gap in enumerate(values):
            write_scope(store, scope, seed, 0.5 + gap, 4.0 if scope == "all" else 1.0)
    rows = {r["scope"]: r for r in Results(str(tmp_path)).query("layer_scope_cost").to_pylist()}
    assert {scope: (r["seeds"], r["paired_seeds"]) for scope, r in rows.items()} == {
        "all": (3, 3),
        "head": (3, 3),
        "last-1": (1, 1),
        "last-2": (3, 3),
    }
    assert (rows["head"]["cost_of_all"], rows["head"]["speedup"]) == (0.25, 8.0)
    assert rows["head"]["gap_difference"] == pytest.approx(0.03)
    half = 4.302653 * 0.0264575 / 3**0.5
    assert rows["head"]["gap_difference_low"] == pytest.approx(0.03 - half, rel=1e-4)
    assert rows["head"]["gap_difference_high"] == pytest.approx(0.03 + half, rel=1e-4)
    assert rows["last-1"]["gap_difference"] == pytest.approx(0.10)
    ends = [
        (rows[name]["gap_difference_low"], rows[name]["gap_difference_high"]) for name in ("last-1", "last-2")
    ]
    # one seed, and three that agree to the last digit: four accuracies err by .01 each
    assert ends == [pytest.approx((0.08, 0.12)), pytest.approx((0.03, 0.07))]
    assert (rows["all"]["gap_difference"], rows["all"]["cost_of_all"]) == (0.0, 1.0)


@pytest.mark.parametrize(("trials", "paired"), [((None, None), 0), ((4, None), 0), ((4, 4), 1)])
def test_scopes_of_two_settings_are_compared_only_where_one_search_chose_both(
    store: Store, tmp_path: Path, trials: tuple[int | None, int | None], paired: int
) -> None:
    write_model(store, "retrain-0", "retrained", 8.0)
    write_accuracy(store, write_cell(store, "retrain"), 0.5, 0.01)
    for scope, lr, budget in (("all", "0.3", trials[0]), ("head", "0.05", trials[1])):
        entries = {"method.lr": lr, "scope": f'"{scope}"', "unlearning.augment": "true"}
        same = {"conditions": "c", "unversioned": scope, "is_version": False}
        rows = [{"key": key, "value": value, **same} for key, value in entries.items()]
        store.write("settings", scope, rows)
        write_scope(store, scope, 0, 0.6, 1.0, setting=scope, tuning_trials=budget)
    found = {r["scope"]: r for r in Results(str(tmp_path)).query("layer_scope_cost").to_pylist()}
    assert (found["all"]["paired_seeds"], found["all"]["cost_of_all"]) == (1, 1.0)
    assert found["head"]["paired_seeds"] == paired
    assert (found["head"]["cost_of_all"], found["head"]["gap_difference"]) == (
        (1.0, 0.0) if paired else (None, None)
    )


def test_the_reference_is_no_distance_from_itself(store: Store, tmp_path: Path) -> None:
    """Its own average gap has an interval over examples, which move nothing between a model and itself."""
    gap = {
        "metric": "average_gap",
        "split": "all",
        "variant": "",
        "value": 0.0,
        "ci_low": 0.0,
        "ci_high": 0.03,
    }
    for seed in range(3):
        cell = write_cell(store, "retrain", seed=seed)
        write_accuracy(store, cell, 0.9, 0.01, beside=[gap | {"n": 300, "higher_is": "worse"}])
    for name in ("scoreboard", "method_table"):
        (found,) = Results(str(tmp_path)).query(name).to_pylist()
        assert [found[key] for key in ("average_gap", "gap_low", "gap_high")] == [0.0] * 3
