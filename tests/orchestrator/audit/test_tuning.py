"""Tuning: what is searched, on which examples, with what budget, and what the audit then runs with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator import run
from orchestrator.audit import tuning
from orchestrator.audit.outcome import Outcome
from orchestrator.audit.request import configured
from orchestrator.config.settings import load
from orchestrator.plan.data import plan_data
from orchestrator.plan.grid import make_plan
from orchestrator.plan.names import build_method
from orchestrator.plan.search import tuning_forget_set
from orchestrator.plan.search_space import points, read_range, search_ranges
from orchestrator.store.store import Store
from tasks.datasets.base import Labels
from tasks.datasets.splits import Splits
from tasks.errors import AuditError
from tasks.forget_sets.base import ForgetRequest, forget_kinds
from tasks.forget_sets.resolve import resolve
from tests.support.sweeps import TINY, write_config

BUDGET = 3
TUNED = TINY + '\n[tuning.search.gradient_ascent]\nlr = ["loguniform", 0.001, 1.0]\n'


def execute(folder: Path, text: str = TUNED, **options: Any) -> Outcome:
    """Run the tiny sweep with its search in this process."""
    return run(write_config(folder, text), **({"out": folder / "results", "tune": BUDGET} | options))


def rows(folder: Path, table: str, inside: str = "results") -> list[dict[str, Any]]:
    """Rows of a table of the audit, or of its search."""
    return Store(str(folder / inside)).read(table).to_pylist()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned audit."""
    folder = tmp_path_factory.mktemp("tuned")
    assert execute(folder).finished
    return folder


def by_place(folder: Path) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows(folder, "tuning"):
        found.setdefault((row["architecture"], row["method"], row["scope"]), []).append(row)
    return found


def test_every_method_gets_the_same_budget(finished: Path) -> None:
    places = by_place(finished)
    assert set(places) == {("net", m, s) for m in ("finetune", "gradient_ascent") for s in ("all", "head")}
    for trials in places.values():
        assert [t["trial"] for t in trials] == list(range(BUDGET))
        assert {t["budget"] for t in trials} == {BUDGET}
        assert len({t["params_json"] for t in trials}) == BUDGET


def test_the_chosen_values_are_never_worse_than_the_configured_ones(finished: Path) -> None:
    for trials in by_place(finished).values():
        (chosen,) = [t for t in trials if t["chosen"]]
        assert chosen["value"] == min(t["value"] for t in trials)
        assert chosen["value"] <= trials[0]["value"]
        assert chosen["ci_low"] <= chosen["value"] <= chosen["ci_high"]


def test_the_first_trial_is_what_is_configured(finished: Path) -> None:
    for (_, method, _), trials in by_place(finished).items():
        assert json.loads(trials[0]["params_json"]) == {
            "lr": {"finetune": 0.01, "gradient_ascent": 1e-4}[method]
        }


def test_tuning_examples_are_none_of_the_audits(finished: Path) -> None:
    audited = {row["example_id"] for row in rows(finished, "forget_sets")}
    searched = {row["example_id"] for row in rows(finished, "forget_sets", "results/search")}
    assert searched
    assert len(searched) == len(audited)
    assert not searched & audited


def test_the_search_selects_on_the_validation_set(finished: Path) -> None:
    sizes = {
        row["split"]: row["n"]
        for row in rows(finished, "metrics", "results/search")
        if row["metric"] == "accuracy" and row["label"] is None
    }
    splits = plan_data(load(str(finished / "audit.toml"))).splits
    assert sizes["test"] == sizes["validation"] == len(splits.validation) != len(splits.test)


def test_models_of_the_search_are_none_of_the_audits(finished: Path) -> None:
    audit = {row["model_id"] for row in rows(finished, "models")}
    search = {row["model_id"]: row for row in rows(finished, "models", "results/search")}
    assert not audit & search.keys()
    assert {row["seed"] for row in search.values()} == {7919}
    assert {row["reference_id"] for row in rows(finished, "tuning")} <= search.keys()


def test_the_audit_runs_with_what_was_chosen(finished: Path) -> None:
    chosen = {
        place: json.loads(t["params_json"])
        for place, ts in by_place(finished).items()
        for t in ts
        if t["chosen"]
    }
    audited = [row for row in rows(finished, "cells") if row["role"] == "audited"]
    assert len(audited) == 12
    for row in audited:
        params = json.loads(row["method_params_json"])
        place = row["architecture"], row["method"], row["scope"]
        assert {key: params[key] for key in chosen[place]} == chosen[place]
        assert row["tuning_trials"] == BUDGET
    assert {row["tuning_trials"] for row in rows(finished, "cells") if row["role"] != "audited"} == {None}
    made = {row["model_id"]: row for row in rows(finished, "models")}
    assert all(made[c["model_id"]]["params_json"] == c["method_params_json"] for c in audited)


def test_running_again_computes_nothing(finished: Path) -> None:
    def times() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in finished.rglob("*.arrow")}

    before = times()
    assert execute(finished).finished
    assert times() == before


def test_a_search_goes_on_where_it_stopped(finished: Path, tmp_path: Path) -> None:
    plan = make_plan(configured(write_config(tmp_path, TUNED), tune=BUDGET))
    store = Store(str(tmp_path / "results"))
    search = tuning.plan_search(plan)

    def half(trials: Any, inner: Store) -> None:
        from orchestrator.bench.workbench import Workbench

        inner.check_ready()
        bench = Workbench(trials, inner)
        for cell in trials.cells[: len(trials.cells) // 2]:
            bench.run_cell(cell.cell_id, run_id="interrupted")

    assert tuning.tuned(plan, store, half) is None
    assert len(search.missing(store)) == 4
    assert execute(tmp_path).finished
    whole = {p: [(t["value"], t["chosen"]) for t in ts] for p, ts in by_place(finished).items()}
    assert {p: [(t["value"], t["chosen"]) for t in ts] for p, ts in by_place(tmp_path).items()} == whole
    first = [row for row in rows(tmp_path, "cells", "results/search") if row["run_id"] == "interrupted"]
    assert len(first) == len(search.plan.cells) // 2


def test_a_larger_budget_keeps_the_trials_of_the_smaller(finished: Path) -> None:
    config = load(str(finished / "audit.toml"), {"tuning.trials": BUDGET})
    larger = replace(config, tuning=replace(config.tuning, trials=BUDGET + 4))
    assert points_of(larger, "finetune")[:BUDGET] == points_of(config, "finetune")
    assert len(points_of(larger, "finetune")) == BUDGET + 4


def test_the_query_shows_what_was_tried(finished: Path) -> None:
    from orchestrator.results.connection import Results

    with Results(str(finished / "results")) as results:
        everything = results.query("tuning").to_pylist()
        chosen = results.query("tuning", chosen_only=True).to_pylist()
    assert len(everything) == 4 * BUDGET
    assert len(chosen) == 4
    assert all(row["chosen"] and row["gain"] >= 0 for row in chosen)


@pytest.mark.slow
def test_ray_chooses_the_same(finished: Path, tmp_path: Path) -> None:
    assert execute(tmp_path, backend="local").finished

    def kept(folder: Path) -> list[Any]:
        return sorted(tuple(v for k, v in r.items() if k != "seconds") for r in rows(folder, "tuning"))

    assert kept(tmp_path) == kept(finished)


# --- a failing trial ---------------------------------------------------------------------------------------


def test_a_trial_that_fails_is_a_row_and_never_chosen(tmp_path: Path) -> None:
    text = TINY + '\n[tuning.search.gradient_ascent]\nlr = ["choice", [1e30]]\n'
    assert execute(tmp_path, text, only="method=gradient_ascent,scope=all", tune=2).finished
    trials = rows(tmp_path, "tuning")
    assert [(t["chosen"], t["value"] is None) for t in trials] == [(True, False), (False, True)]
    assert "not finite" in trials[1]["error"]


def test_choice_takes_the_least_and_the_earlier_of_equals() -> None:
    def metric(value: float, higher_is: str = "worse", name: str = "average_gap") -> dict[str, Any]:
        return {"metric": name, "value": value, "higher_is": higher_is}

    assert tuning.choose([metric(0.2), metric(0.1), metric(0.1), None]) == 1
    assert tuning.choose([None, None]) == 0
    assert tuning.choose([metric(0.2, "better"), metric(0.9, "better")]) == 1
    assert (
        tuning.choose(
            [metric(-0.2, "closer_to_retrained", "ua_gap"), metric(0.1, "closer_to_retrained", "ua_gap")]
        )
        == 1
    )
    with pytest.raises(AuditError, match="neither better high nor low"):
        tuning.choose([metric(0.2, "closer_to_retrained", "accuracy")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning.metric": "averge_gap"}, "Did you mean 'average_gap"),
        ({"tuning.metric": "js_to_retrained"}, "js_to_retrained:forget, js_to_retrained:test"),
    ],
)
def test_an_unclear_metric_is_refused(finished: Path, changes: dict[str, Any], message: str) -> None:
    plan = make_plan(load(str(finished / "audit.toml"), {"tuning.trials": BUDGET, **changes}))
    with pytest.raises(AuditError, match=message):
        tuning.tuned(plan, Store(str(finished / "results")), lambda trials, inner: None)


# --- search spaces -----------------------------------------------------------------------------------------


def config(**changes: Any) -> Any:
    """The quick preset with a search."""
    return load("quick", {"tuning.trials": 6, **changes})


def points_of(asked: Any, method: str) -> list[dict[str, Any]]:
    return points(build_method(asked, method), asked.tuning)


def test_draws_lie_in_the_ranges_that_travel_with_the_method() -> None:
    asked = config()
    ranges = search_ranges(build_method(asked, "scrub"), asked.tuning)
    assert set(ranges) == {"lr", "alpha", "gamma", "max_epochs"}
    for point in points_of(asked, "scrub")[1:]:
        for field, value in point.items():
            form, *rest = ranges[field]
            assert value in rest[0] if form == "choice" else rest[0] <= value <= rest[1]


def test_configured_ranges_replace_the_methods_own() -> None:
    asked = config(**{"tuning.search.scrub": {"lr": ["uniform", 0.5, 0.6]}})
    assert all(set(point) == {"lr"} for point in points_of(asked, "scrub"))
    assert all(0.5 <= point["lr"] <= 0.6 for point in points_of(asked, "scrub")[1:])


def test_a_few_choices_are_exhausted_not_repeated() -> None:
    found = points_of(config(), "rum")
    assert sorted(point["groups"] for point in found) == [2, 3, 5]
    assert found[0] == {"groups": 3}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"rate": ["uniform", 0, 1]}, "no field 'rate'"),
        ({"lr": ["loguniform", 0, 1]}, "tuning.search.scrub.lr: expected"),
        ({"lr": ["uniform", 1, 0]}, "tuning.search.scrub.lr: expected"),
        ({"lr": ["choice", []]}, "tuning.search.scrub.lr: expected"),
        ({"lr": 0.1}, "tuning.search.scrub.lr: expected"),
        ({"lr": ["uniform", -2, -1]}, "lr: expected"),
    ],
)
def test_bad_ranges_are_refused_before_any_work(search: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditError, match=message):
        points_of(config(**{"tuning.search.scrub": search}), "scrub")


def test_ranges_are_read() -> None:
    assert read_range(["choice", [1, 2]], where="x") == ("choice", (1, 2))
    assert read_range(["loguniform", 1e-3, 1], where="x") == ("loguniform", 1e-3, 1.0)


def test_a_seed_of_the_audit_is_refused_for_the_search() -> None:
    with pytest.raises(AuditError, match=r"tuning.seed: expected none of axes.seed, got 1"):
        config(**{"tuning.seed": 1})


def test_methods_kept_from_the_first_forget_set_stay_as_configured() -> None:
    excluded = {"forget_set": "random", "method": "unsir"}
    asked = config(**{"axes.method": ["finetune", "unsir"], "axes.scope": ["all"], "exclude": [excluded]})
    search = tuning.plan_search(make_plan(asked))
    assert {method for _, method, _ in search.trials} == {"finetune"}


def test_nothing_to_search_is_said() -> None:
    plan = make_plan(config(**{"axes.method": ["eu_k"]}))
    with pytest.raises(AuditError, match="audited on forget set random has a field to search"):
        tuning.plan_search(plan)


# --- the tuning forget set ---------------------------------------------------------------------------------


def request() -> ForgetRequest:
    """600 examples of 4 classes, 400 of them for training."""
    labels = np.tile(np.arange(4), 150)
    ids = np.arange(600)
    return ForgetRequest(
        labels=Labels(
            labels=labels,
            class_names=("a", "b", "c", "d"),
            is_test=ids >= 500,
            image_shape=(1, 8, 8),
        ),
        splits=Splits(train=ids[:400], validation=ids[400:500], test=ids[500:]),
    )


def mix(ids: np.ndarray) -> list[int]:
    return np.bincount(request().labels.labels[ids], minlength=4).tolist()


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        ("random", {"fraction": 0.1}, [10, 10, 10, 10]),
        ("partial_class", {"label": 1, "fraction": 0.3}, [0, 30, 0, 0]),
        ("partial_class", {"label": 1, "fraction": 0.7}, [70, 0, 0, 0]),
        ("class", {"label": "b"}, [100, 0, 0, 0]),
        ("label_noise", {"count": 40}, None),
    ],
)
def test_it_is_like_the_audited_one_and_disjoint(kind: str, params: dict[str, Any], expected: Any) -> None:
    built, asked = forget_kinds.build(kind, params, where=kind), request()
    audited = resolve(built, asked)
    found = tuning_forget_set(built, [audited], asked)
    assert not np.isin(found.ids, audited.ids).any()
    assert np.isin(found.ids, asked.splits.train).all()
    assert len(found.ids) == len(audited.ids)
    assert expected is None or mix(found.ids) == expected
    assert found.poisons == audited.poisons


def test_a_listed_set_is_matched_by_class(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(map(str, [0, 4, 8, 1])))
    built, asked = forget_kinds.build("file", {"path": str(path)}, where="file"), request()
    audited = resolve(built, asked)
    found = tuning_forget_set(built, [audited], asked)
    assert mix(found.ids) == mix(audited.ids) == [3, 1, 0, 0]
    assert not np.isin(found.ids, audited.ids).any()


def test_it_avoids_every_audited_set() -> None:
    asked = request()
    kinds = [forget_kinds.build("random", {"fraction": 0.2, "draw": d}, where="random") for d in range(3)]
    audited = [resolve(kind, asked) for kind in kinds]
    found = tuning_forget_set(kinds[0], audited, asked)
    assert len(found.ids) == 80
    assert not any(np.isin(found.ids, forget.ids).any() for forget in audited)


def test_nothing_left_is_said() -> None:
    asked = request()
    kind = forget_kinds.build("random", {"count": 399}, where="random")
    first = resolve(kind, asked)
    rest = replace(first, ids=np.setdiff1d(asked.splits.train, first.ids))
    with pytest.raises(AuditError, match="leave no training example"):
        tuning_forget_set(kind, [first, rest], asked)
