"""Costs on the page: of one kind of device each."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from orchestrator.report.facts.facts import gather_facts
from orchestrator.report.page import report_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.queries.test_costs_and_masking import CPU, GPU, write_model
from tests.support.audited import write_models, write_run
from tests.support.report_pages import checked


def test_a_model_whose_seeds_ran_on_two_kinds_of_device_has_both_costs(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write_run(store)
    write_models(store, {"retrain": 0.5, "retrain_again": 0.5, "finetune": 0.6})
    for seed, (device, seconds) in enumerate(((CPU, 8.0), (CPU, 8.0), (GPU, 2.0))):
        place = {
            "architecture": "net",
            "dataset": "digits",
            "forget_set": "mine",
            "scope": "all",
            "device": device,
        }
        write_model(store, f"retrain-{seed}", "retrained", seconds, method="retrain", seed=seed, **place)
        key = {"method": "finetune", "seed": seed, "retrained_id": f"retrain-{seed}", **place}
        write_model(store, f"finetune-{seed}", "unlearned", 1.0, **key)
    with Results(store.root) as results:
        facts = gather_facts(Answers(results))
        rows = results.chart("cost").rows
    (row,) = [row for row in facts.places[0].board.rows if row.method == "finetune"]
    assert [(round(price.ratio or 0, 3), price.device) for price in row.prices] == [(0.125, CPU), (0.5, GPU)]
    assert {r["label"] for r in rows} == {f"finetune, {device}" for device in (CPU, GPU)}
    page = report_page(facts)
    assert all(f", {device}</small>" in page for device in (CPU, GPU))


@pytest.mark.parametrize("seconds", [math.nan, math.inf])
def test_a_cost_that_is_not_finite_is_unknown_and_the_cheapest_of_none(
    tmp_path: Path, seconds: float
) -> None:
    store = Store(str(tmp_path))
    write_run(store)
    took = {"retrain": 8.0, "broken": seconds, "finetune": 1.0, "scrub": 2.0}
    values = {"retrain": 0.5, "retrain_again": 0.503, "no_op": 0.9}
    write_models(store, values | {"broken": 0.501, "finetune": 0.51, "scrub": 0.52})
    for seed in range(3):
        place = {"architecture": "net", "dataset": "digits", "forget_set": "mine", "scope": "all"}
        for method, cost in took.items():
            kind = "retrained" if method == "retrain" else "unlearned"
            key = {"method": method, "seed": seed, "retrained_id": f"retrain-{seed}", **place}
            write_model(store, f"{method}-{seed}", kind, 1.0, device_seconds=cost, **key)
    with Results(store.root) as results:
        facts = gather_facts(Answers(results))
    rows = {row.method: row for row in facts.places[0].board.audited}
    assert [(price.ratio, price.seconds) for price in rows["broken"].prices] == [(None, None)]
    (answer,) = facts.requests[0].answers
    assert answer.cheapest is not None
    assert answer.cheapest.method == "finetune"
    (compared,) = facts.comparisons
    entries = {m.method: dict(zip(compared.headings, m.entries, strict=True)) for m in compared.models}
    assert entries["broken"]["cost, retraining = 1"].text == "unknown"
    words = checked(report_page(facts)).words
    assert not re.search(r"\b(nan|inf)\b", words)


def test_costs_are_drawn_without_extremes_where_a_seed_took_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write_run(store)
    write_models(store, {"retrain": 0.5, "retrain_again": 0.503, "no_op": 0.9, "finetune": 0.6})
    place = {"architecture": "net", "dataset": "digits", "forget_set": "mine", "scope": "all"}
    for seed in range(3):
        write_model(store, f"retrain-{seed}", "retrained", 8.0, method="retrain", seed=seed, **place)
        key = {"method": "finetune", "seed": seed, "retrained_id": f"retrain-{seed}", **place}
        write_model(store, f"finetune-{seed}", "unlearned", 12.0 * (seed > 0), **key)
    with Results(store.root) as results:
        facts = gather_facts(Answers(results))
        (bar,), (dot,) = results.chart("cost").rows, results.chart("scope").rows
    assert (bar["value"], bar["low"], bar["high"]) == (1.0, None, None)
    assert (dot["x"], dot["x_low"], dot["x_high"]) == (1.0, None, None)
    (row,) = facts.places[0].board.audited
    assert [(price.least, price.most) for price in row.prices] == [(0.0, 1.5)]
