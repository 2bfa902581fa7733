"""Counts of verdicts over all places are the sums of those of each."""

from __future__ import annotations

from pathlib import Path

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import plan_cell, write_accuracy, write_cell, write_run

VALUES = {"retrain": 0.5, "retrain_again": 0.503, "no_op": 1.0, "kept": 0.9, "near": 0.53}
SEEDS = 3
SUMMED = (
    "models",
    "told_apart",
    "shown_equivalent",
    "visible",
    "undecided",
    "declared_after",
    "measures",
    "forgetting",
    "seeing",
)


def test_the_row_of_all_places_adds_them_up(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "made"))
    write_run(store, "first", margin=0.01, cells=2 * SEEDS * len(VALUES))
    for place in ("mine", "theirs"):
        for position, (method, value) in enumerate(VALUES.items()):
            for seed in range(SEEDS):
                names = {
                    "cell_id": f"{method}-{seed}-{place}",
                    "model_id": f"{method}-{seed}-{place}",
                    "reference_id": f"retrain-{seed}-{place}",
                }
                cell_id = write_cell(store, method, seed=seed, forget_set=place, forget_digest=place, **names)
                write_accuracy(store, cell_id, value + 0.002 * (-1) ** (seed + position), 0.04)
    asked = store.read("plans", "first")["cell_id"].to_pylist()
    write_run(store, "second", cells=len(asked), cells_before=len(asked))
    for cell_id in asked:
        plan_cell(store, "second", cell_id)
    with Results(store.root) as results:
        *places, whole = results.query("verdict_counts").to_pylist()
    assert len(places) == 2
    assert {name: whole[name] for name in SUMMED} == {name: sum(p[name] for p in places) for name in SUMMED}
    assert all(p["seeing"] == p["told_apart"] == p["visible"] == 1 for p in places), places
    assert all(p["declared_after"] == p["models"] == 2 for p in places), places  # the margin was another
