"""Several settings of one method: what a page says of one is not said of another, at a place or at two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.report.certificate import certify
from orchestrator.report.facts.board import board
from orchestrator.report.facts.columns import values_of
from orchestrator.report.facts.facts import Facts, gather_facts
from orchestrator.report.subject import choose
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.queries.test_costs_and_masking import CPU, write_model
from tests.support.audited import write_accuracy, write_cell, write_run
from tests.support.fabricated import setting_of, write_setting

CONTROLS = (("retrain", 0.5), ("retrain_again", 0.503), ("no_op", 1.0))
SLOW, FAST = {"method.lr": 0.1}, {"method.lr": 0.2}
EXAMPLES, EXPOSED = 40, {0.1: 2, 0.2: 30}
"""Forgotten examples, and how many stand out by learning rate."""


def _write(store: Store, forget_set: str, method: str, value: float, more: Mapping[str, float]) -> None:
    """Three models, what they answer, what they took, and a test of each example."""
    rate = more.get("method.lr", 0.0)
    place = {"forget_set": forget_set, "forget_digest": forget_set}
    for seed in range(3):
        for attack in ("none", "rank_test"):
            axes = {"architecture": "net", "attack": attack, "method": method, "scope": "all"}
            setting = setting_of(axes, **more)
            write_setting(store, setting)
            name = f"{method}-{rate}-{forget_set}"
            ids = {"cell_id": f"{name}-{attack}-{seed}", "reference_id": f"retrain-0.0-{forget_set}-{seed}"}
            known = {
                "model_id": f"{name}-{seed}",
                "setting": setting.setting,
                "conditions": setting.conditions,
            }
            family = "none" if attack == "none" else "per_example"
            cell = write_cell(
                store, method, seed=seed, attack=attack, attack_family=family, **place, **ids, **known
            )
            rows = _answered(method, rate, seed) if attack == "none" else _tested(rate)
            store.write("examples", cell, rows, attack=attack)
            if attack == "none":
                write_accuracy(store, cell, value + 0.002 * (-1) ** seed, 0.04)
                model = {
                    "kind": "unlearned" if "retrain" not in method else "retrained",
                    "scope": "all",
                    "device": "cpu",
                }
                model |= place | {
                    "dataset": "digits",
                    "architecture": "net",
                    "method": method,
                    "status": "finished",
                }
                model |= {
                    "retrained_id": ids["reference_id"],
                    "setting": setting.setting,
                    "params_json": json.dumps(more),
                }
                model |= {"device_seconds": 1 + rate, "replicate": 0, "seed": seed}
                store.write("models", f"{name}-{seed}", [model])


def _answered(method: str, rate: float, seed: int) -> list[dict[str, Any]]:
    noise = np.random.default_rng([seed, len(method)]).normal(size=EXAMPLES) / 10
    return [
        {
            "example_id": i,
            "split": "forget",
            "label": 0,
            "predicted": 0,
            "correct": True,
            "loss": 1.0,
            "phi": phi,
        }
        for i in range(EXAMPLES)
        for phi in [float(noise[i] + 9 * (i < EXPOSED.get(rate, 0)))]
    ]


def _tested(rate: float) -> list[dict[str, Any]]:
    return [
        {"example_id": i, "split": "forget", "label": 0, "statistic": f"rank_test:{name}", "score": score}
        for i in range(EXAMPLES)
        for out in [i < EXPOSED.get(rate, 0)]
        for name, score in (
            ("auc", 1.0 if out else 0.5),
            ("p_value", 1e-6 if out else 0.9),
            ("q_value", 1e-5 if out else 0.9),
        )
    ]


def _facts(store: Store) -> Facts:
    with Results(store.root) as results:
        return gather_facts(Answers(results))


@pytest.fixture(scope="module")
def at_one_place(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    store = Store(str(tmp_path_factory.mktemp("settings")))
    write_run(store)
    for method, value in CONTROLS:
        _write(store, "mine", method, value, {})
    _write(store, "mine", "scrub", 0.501, SLOW)
    _write(store, "mine", "scrub", 0.9, FAST)
    return _facts(store)


@pytest.fixture(scope="module")
def at_two_places(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    store = Store(str(tmp_path_factory.mktemp("settings")))
    write_run(store)
    for forget_set, more in (("one", SLOW), ("two", FAST)):
        for method, value in CONTROLS:
            _write(store, forget_set, method, value, {})
        _write(store, forget_set, "scrub", 0.6, more)
        _write(store, forget_set, "other", 0.7, {})
    return _facts(store)


def test_each_setting_has_its_own_difference_beside_its_cost(at_one_place: Facts) -> None:
    (chart,) = [chart for chart in at_one_place.charts if chart.name == "scope"]
    columns = {name: values_of(column, chart.rows) for name, column in chart.columns.items()}
    drawn = dict(zip(columns["name"], zip(columns["y"], columns["verdict"], strict=True), strict=True))
    rows = {row.label: row.cells[0] for row in at_one_place.places[0].board.audited}
    assert set(drawn) == set(rows) == {"scrub (lr=0.1)", "scrub (lr=0.2)"}
    for label, cell in rows.items():
        assert cell is not None
        assert drawn[label] == (pytest.approx(cell.difference, rel=1e-3), cell.verdict)


def test_each_setting_has_its_own_exposed_examples(at_one_place: Facts) -> None:
    rows = {row.label: row.exposed for row in at_one_place.places[0].board.audited}
    told = {label: None if exposed is None else exposed.told_apart for label, exposed in rows.items()}
    assert told == {"scrub (lr=0.1)": EXPOSED[0.1], "scrub (lr=0.2)": EXPOSED[0.2]}


def test_settings_that_differ_from_place_to_place_are_the_models_of_the_leaderboard(
    at_two_places: Facts,
) -> None:
    assert [sorted(row.label for row in place.board.audited) for place in at_two_places.places] == [
        ["other", "scrub"]
    ] * 2
    for place, compared, count in zip(
        at_two_places.places, at_two_places.comparisons, EXPOSED.values(), strict=True
    ):
        assert {model.label: model.stand_out for model in compared.models} == {"scrub": count, "other": 0}
        assert {row.label: row.exposed and row.exposed.told_apart for row in place.board.audited} == {
            "scrub": count,
            "other": 0,
        }


TWO_ATTACKS = pytest.mark.parametrize("settings", [(1, 2), (2, 1)])


def _under_two_attacks(
    root: Path, settings: tuple[int, int], primary: tuple[str, ...] = ("accuracy:forget",)
) -> Store:
    """Two runs, each under a setting of its own of one attack; verdicts rest on the second, where `scrub` is far."""
    store = Store(str(root))
    for run, draws, moved, scrub in zip(("run-1", "run-2"), settings, (0.0, 0.05), (0.502, 0.8), strict=True):
        write_run(store, run, primary=primary)
        values = {
            "retrain": 0.5 + moved,
            "retrain_again": 0.503 + moved,
            "no_op": 0.9 + moved,
            "finetune": 0.7 + moved,
        }
        for number, (method, value) in enumerate((values | {"scrub": scrub}).items()):
            for seed in range(3):
                axes = {"architecture": "net", "attack": "none", "method": method, "scope": "all"}
                setting = setting_of(axes, **{"attack.draws": draws})
                write_setting(store, setting)
                known = {"setting": setting.setting, "conditions": setting.conditions, "run_id": run}
                cell = write_cell(store, method, seed=seed, cell_id=f"{method}-{draws}-{seed}", **known)
                gap = {
                    "metric": "average_gap",
                    "split": "all",
                    "variant": "",
                    "value": abs(value - 0.5 - moved),
                }
                beside = [gap | {"n": 100, "higher_is": "worse"}]
                write_accuracy(store, cell, value + 0.002 * (-1) ** (seed + number), 0.04, beside=beside)
                store.write("examples", cell, _answered(method, 0.0, seed), attack="none")
    return store


@TWO_ATTACKS
def test_of_two_settings_of_an_attack_a_leaderboard_has_that_of_the_verdict(
    tmp_path: Path, settings: tuple[int, int]
) -> None:
    with Results(_under_two_attacks(tmp_path, settings).root, "all") as results:
        answers = Answers(results)
        found = board(answers, answers.evidence.places[0], {})
    (row,) = (row for row in found.audited if row.method == "scrub")
    cell = row.cells[0]
    assert cell is not None
    assert (row.verdict, cell.verdict, cell.value, row.gap) == (
        "told apart",
        "told apart",
        pytest.approx(0.8, abs=0.01),
        pytest.approx(0.25),
    )
    for role, value in (("reference", 0.55), ("noise_floor", 0.553)):
        beside = found.of_role(role)
        assert beside is not None
        assert beside.cells[0] is not None
        assert beside.cells[0].value == pytest.approx(value, abs=0.002)


@TWO_ATTACKS
def test_charts_and_classes_tell_two_settings_of_an_attack_apart(
    tmp_path: Path, settings: tuple[int, int]
) -> None:
    with Results(_under_two_attacks(tmp_path, settings).root, "all") as results:
        facts, drawn = gather_facts(Answers(results)), results.chart("forest").rows
    here = [row for row in drawn if row["measure"] == "accuracy, forgotten"]
    verdicts = {row["label"]: row["verdict"] for row in here}
    assert len(verdicts) == len(here) == 6
    near, far = (f"scrub (attack.draws={draws})" for draws in settings)
    assert (verdicts[near], verdicts[far]) == ("shown equivalent", "told apart")
    labels = list(dict.fromkeys(matrix.label for matrix in facts.confusion.matrices))
    assert [label.partition(" (")[0] for label in labels] == [
        *["scrub"] * 2,
        *["finetune"] * 2,
        *["doing nothing"] * 2,
    ]
    assert [row.label for row in facts.places[0].board.audited] == ["finetune", "scrub"]


@TWO_ATTACKS
def test_a_certificate_has_doing_nothing_under_the_setting_of_its_verdict(
    tmp_path: Path, settings: tuple[int, int]
) -> None:
    with Results(_under_two_attacks(tmp_path, settings).root, "all") as results:
        made = certify(results, choose(results, forget_set="mine", method="scrub"))
    (measured,) = made.finding.measures
    assert measured.untouched == pytest.approx(0.95, abs=0.01)


@TWO_ATTACKS
@pytest.mark.parametrize("primary", ["accuracy:forget", "average_gap:all"])
def test_the_cost_of_a_model_stands_beside_the_difference_of_its_verdict(
    tmp_path: Path, settings: tuple[int, int], primary: str
) -> None:
    store = _under_two_attacks(tmp_path, settings, (primary,))
    place = {"dataset": "digits", "architecture": "net", "forget_set": "mine", "scope": "all"}
    for seed in range(3):
        write_model(store, f"retrain-{seed}", "retrained", 8.0, method="retrain", seed=seed, **place)
        key = {"method": "scrub", "seed": seed, "retrained_id": f"retrain-{seed}"}
        write_model(store, f"scrub-{seed}", "unlearned", 1.0, **key, **place)
    with Results(store.root, "all") as results:
        (dot,) = results.chart("scope").rows
    assert (dot["label"], dot["x"], dot["verdict"]) == (f"scrub, {CPU}", 0.125, "told apart")
    assert dot["y"] == pytest.approx(0.25, abs=0.01)
