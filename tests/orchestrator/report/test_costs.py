"""Costs on the page: of one kind of device each."""

from __future__ import annotations

from pathlib import Path

from orchestrator.report.facts.facts import gather_facts
from orchestrator.report.page import report_page
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.queries.test_costs_and_masking import CPU, GPU, write_model
from tests.support.audited import write_models, write_run


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
