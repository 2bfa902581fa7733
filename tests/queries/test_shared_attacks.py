"""The closing table's robust accuracy: models of a place are compared under the attacks that all of them met."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.audited import write_accuracy, write_cell, write_run
from tests.support.fabricated import setting_of, write_setting

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
    ("theirs", "scrub", "pgd", WEAK, 0.6),
    ("theirs", "scrub", "fab", WEAK, 0.3),
)
"""At one place a model alone met the attack in its strong setting, and one that both met at the other place."""


@pytest.fixture
def results(tmp_path: Path) -> Results:
    store = Store(str(tmp_path / "made"))
    write_run(store, cells=15)
    for place, methods in (("mine", ("retrain", "finetune")), ("theirs", ("retrain", "finetune", "scrub"))):
        for method in methods:
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
        ("theirs", "scrub"): 0.3,
    }


def test_attacks_that_each_miss_another_model_compare_nothing_and_the_largest_eps_counts(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path / "made"))
    write_run(store, cells=9)
    met = {"retrain": ("pgd", "fab"), "finetune": ("pgd",), "scrub": ("fab",)}
    for forget_set, methods in (("split", met), ("whole", dict.fromkeys(met, ("pgd",)))):
        for method, attacks in methods.items():
            place = where(forget_set, method, "none", "{}")
            write_accuracy(store, write_cell(store, method, **place), 0.9, 0.05)
            for attack in attacks:
                place = where(forget_set, method, attack, WEAK) | {
                    "cell_id": f"{forget_set}-{method}-{attack}"
                }
                cell_id = write_cell(store, method, attack=attack, attack_family="adversarial", **place)
                row = {
                    "metric": "robust_accuracy",
                    "split": "test",
                    "variant": "",
                    "n": 100,
                    "higher_is": "better",
                }
                both = ({"param": 0.1, "value": 0.2}, {"param": 0.2, "value": 0.3})
                store.write("metrics", cell_id, [row | one for one in both])
    with Results(store.root) as results:
        rows = results.query("scoreboard").to_pylist()
    found = {(row["forget_set"], row["robust"]) for row in rows}
    assert found == {("split", None), ("whole", 0.3)}


TWINS = (
    # architecture, epochs of its training, methods, those that met fab
    ("net", 1, ("retrain", "finetune", "ssd"), ("finetune",)),
    ("twin", 1, ("retrain", "finetune", "scrub"), ("retrain", "finetune", "scrub")),
    ("net", 3, ("retrain", "finetune", "scrub"), ("retrain", "finetune", "scrub")),
)
"""Networks of one configuration under two names, and one of them trained in two ways; ssd met no attack."""


def test_neither_a_twin_nor_another_recipe_nor_an_attack_of_like_options_decides(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "made"))
    write_run(store, cells=26)
    expected = {}
    for architecture, epochs, methods, fooled in TWINS:
        for method in methods:
            model = {"model_id": f"{method}-{architecture}-{epochs}", "architecture": architecture}
            met = {"none": None} | ({} if method == "ssd" else {"pgd": 0.5})
            met |= {"fab": 0.2} if method in fooled else {}
            met |= {"pgd_again": 0.1} if (architecture, epochs, method) == ("net", 1, "finetune") else {}
            for attack, value in met.items():
                axes = {"architecture": "net", "method": method, "attack": attack.removesuffix("_again")}
                made = setting_of(axes, **{"training.epochs": epochs})
                write_setting(store, made)
                told = {"setting": made.setting, "conditions": made.conditions}
                family = "none" if attack == "none" else "adversarial"
                names = {"cell_id": f"{model['model_id']}-{attack}", "attack_family": family}
                cell_id = write_cell(store, method, attack=attack, **names, **model, **told)
                if value is None:
                    write_accuracy(store, cell_id, 0.9, 0.05)
                    expected[architecture, made.setting] = (
                        None if method == "ssd" else 0.2 if fooled[1:] else 0.5
                    )
                    continue
                row = {"metric": "robust_accuracy", "split": "test", "variant": "", "param": 0.1}
                row |= {"value": value, "n": 100, "higher_is": "better"}
                store.write("metrics", cell_id, [row])
    with Results(store.root) as results:
        rows = results.query("scoreboard").to_pylist()
    assert {(row["architecture"], row["setting"]): row["robust"] for row in rows} == expected
