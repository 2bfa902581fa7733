"""The closing table's robust accuracy: models of a place are compared under the attacks that all of them met."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import write_accuracy, write_cell, write_run

WEAK, STRONG = '{"steps": 1}', '{"steps": 50}'
LEFT = (
    # forget set, method, attack, its options, robust accuracy
    ("mine", "retrain", "pgd", WEAK, 0.5),
    ("mine", "finetune", "pgd", WEAK, 0.4),
    ("mine", "finetune", "pgd", STRONG, 0.1),
    ("mine", "finetune", "fab", WEAK, 0.2),
    ("theirs", "retrain", "pgd", WEAK, 0.55),
    ("theirs", "finetune", "pgd", WEAK, 0.45),
    ("theirs", "retrain", "fab", WEAK, 0.35),
    ("theirs", "finetune", "fab", WEAK, 0.25),
)
"""At one place a model alone met the attack in its strong setting, and one that both met at the other place."""


@pytest.fixture
def results(tmp_path: Path) -> Results:
    store = Store(str(tmp_path / "made"))
    write_run(store, cells=12)
    for place in ("mine", "theirs"):
        for method in ("retrain", "finetune"):
            write_accuracy(store, write_cell(store, method, **where(place, method, "none", "{}")), 0.9, 0.05)
    for place, method, attack, options, value in LEFT:
        cell_id = write_cell(
            store, method, attack=attack, attack_family="adversarial", **where(place, method, attack, options)
        )
        row = {"metric": "robust_accuracy", "split": "test", "variant": "", "param": 0.1, "value": value}
        store.write("metrics", cell_id, [row | {"n": 100, "higher_is": "better"}])
    return Results(store.root)


def where(place: str, method: str, attack: str, options: str) -> dict[str, str]:
    return {
        "cell_id": f"{place}-{method}-{attack}-{len(options)}",
        "forget_set": place,
        "forget_digest": place,
        "model_id": f"{method}-{place}",
        "reference_id": f"retrain-{place}",
        "attack_params_json": options,
    }


def test_an_attack_counts_where_every_model_met_it_in_one_setting(results: Results) -> None:
    found = {
        (row["forget_set"], row["method"]): row["robust"] for row in results.query("scoreboard").to_pylist()
    }
    assert found == {
        ("mine", "retrain"): 0.5,
        ("mine", "finetune"): 0.4,
        ("theirs", "retrain"): 0.35,
        ("theirs", "finetune"): 0.25,
    }
