"""What a plan says can be decided: by how many seeds, and from rows, declared values or sampling error alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.settings import load
from orchestrator.estimate.decidable import Decidable, decidable, decidable_lines
from orchestrator.plan.grid import make_plan
from orchestrator.store.store import Store
from orchestrator.sweep import main
from tasks.statistics.power import difference_told_apart, equivalence_power
from tests.support.shadow_sweeps import TEXT
from tests.support.sweeps import write_config

TWO = {"axes.seed": [0, 1]}
FOUR = {"axes.seed": [0, 1, 2, 3]}


def found(folder: Path, root: str = "", **changes: Any) -> list[Decidable]:
    plan = make_plan(load(str(write_config(folder)), changes))
    return decidable(plan, Store(root or str(folder / "none")))


def of(rows: list[Decidable], measure: str, scope: str = "all") -> Decidable:
    (row,) = [row for row in rows if row.measure == measure and row.scope == scope]
    return row


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    rows = found(tmp_path)
    assert {row.seeds for row in rows} == {1}
    assert {(row.difference, row.equivalence) for row in rows} == {(None, None)}
    (line,) = decidable_lines(rows)
    assert line.startswith(
        "decides     nothing on accuracy:forget, accuracy:retain, accuracy:test, auc:forget,"
    )
    assert line.endswith(" in scope all, head: one seed")


def test_scopes_with_fewer_seeds_are_told_apart(tmp_path: Path) -> None:
    rows = found(tmp_path, **TWO, exclude=[{"scope": "head", "seed": 1}])
    assert of(rows, "accuracy:test").seeds == 2
    assert of(rows, "accuracy:test").methods == ["finetune", "gradient_ascent"]
    assert of(rows, "accuracy:test", "head").difference is None
    assert decidable_lines(rows)[-1].endswith(" in scope head: one seed")


def test_without_rows_or_words_it_rests_on_the_examples_alone(tmp_path: Path) -> None:
    row = of(found(tmp_path, **FOUR), "accuracy:test")
    assert row.sd == pytest.approx(math.sqrt(0.9 * 0.1 / 40))
    assert (row.sd_from, row.margin) == ("binomial sampling error alone, at 0.9", 0.02)
    assert row.level == 0.05 / 4
    assert row.difference == difference_told_apart(row.sd, 4, level=row.level, power=0.8)
    assert row.equivalence == equivalence_power(row.sd, 4, 0.02, level=0.05)


def test_a_difference_beyond_what_is_possible_is_none(tmp_path: Path) -> None:
    rows = found(tmp_path, **TWO)
    assert of(rows, "accuracy:test").difference is None
    assert "accuracy:test, 2 seeds: tells nothing apart that is possible" in "\n".join(decidable_lines(rows))


def test_declared_deviations_count_the_nearer_first(tmp_path: Path) -> None:
    rows = found(tmp_path, **TWO, **{"answers.training_sd": {"accuracy": 0.01, "accuracy:test": 0.003}})
    assert (of(rows, "accuracy:test").sd, of(rows, "accuracy:retain").sd) == (0.003, 0.01)
    assert of(rows, "accuracy:test").sd_from == "answers.training_sd"


def test_rows_of_the_second_retrained_model_come_before_words(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "results"))
    store.check_ready()
    plan = make_plan(load(str(write_config(tmp_path)), TWO))
    for cell in plan.cells:
        if cell.attack == "none":
            value = {("noise_floor", 0): 0.93, ("noise_floor", 1): 0.86}.get((cell.role, cell.seed), 0.9)
            row = {"metric": "accuracy", "variant": "", "n": 40, "higher_is": "better"}
            test, forget = row | {"split": "test", "value": value}, row | {"split": "forget", "value": 1.0}
            store.write("metrics", cell.cell_id, [test, forget, test | {"label": 1, "value": 0.0}])
    rows = found(tmp_path, store.root, **TWO, **{"answers.training_sd.accuracy": 0.5})
    row = of(rows, "accuracy:test")
    assert row.sd == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2 / 2))
    assert row.sd_from == "2 differences of retrain_again"
    assert of(rows, "accuracy:forget").sd == 1 / 40  # equal values: one answer, as in the verdict
    assert of(rows, "accuracy:retain").sd_from == "answers.training_sd"


def test_what_has_no_known_error_is_unknown_until_it_is_declared(tmp_path: Path) -> None:
    measure = {"answers.primary": ["js_to_retrained:forget"]}
    assert of(found(tmp_path, **TWO, **measure), "js_to_retrained:forget").sd is None
    declared = found(tmp_path, **TWO, **measure, **{"answers.training_sd.js_to_retrained": 0.01})
    assert of(declared, "js_to_retrained:forget").sd == 0.01


def test_shadow_models_are_known_when_they_have_run(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(TEXT)
    plan = make_plan(load(str(path), {"axes.attack": ["u_lira"]}))
    assert [
        line.partition("u_lira, ")[2] for line in decidable_lines(decidable(plan, Store(str(tmp_path))))
    ] == ["one seed: known once shadow models have run"]


def test_a_dry_run_says_it_in_text_and_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        str(write_config(tmp_path)),
        "--dry-run",
        "--out",
        str(tmp_path / "none"),
        "--axes.seed",
        *"0123",
    ]
    assert main(words) == 0
    assert "decides     accuracy:test, 4 seeds: tells 0." in capsys.readouterr().out
    assert main([*words, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["decides"]
    assert {(row["measure"], row["scope"]) for row in rows} >= {
        ("accuracy:test", "all"),
        ("accuracy:test", "head"),
    }
    assert all(row["power"] == 0.8 and row["difference"] > 0 for row in rows)
