"""Costs on the page: of one kind of device each."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.report.blocks import Context, Figure, Table
from orchestrator.report.outcomes import cost_section
from orchestrator.report.tables import leaderboard_section
from orchestrator.results.connection import Results
from orchestrator.results.evidence import gather
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
        context = Context(results=results, root=store.root, evidence=gather(results))
        (table,) = [block for block in leaderboard_section(context).blocks if isinstance(block, Table)]
        figures = [block for block in cost_section(context).blocks if isinstance(block, Figure)]
    (mine,) = [row[-1] for row in table.rows if "finetune" in row[0]]
    assert re.findall(r"([\d.]+)<span class='ci'>[^<]*, ([^<]+)</span>", mine) == [
        ("0.12", CPU),
        ("0.5", GPU),
    ]
    page = figures[0].panels[0].inline()
    assert all(f"on {device}" in page for device in (CPU, GPU))
