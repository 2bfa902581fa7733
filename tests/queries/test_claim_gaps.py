"""Who is missing in the answer to a claim is named, failed or never run, and nobody wins by the failure of a rival."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.results.claims import ClaimAnswer, answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from tests.support.claim_results import SCOPED, claim_results
from tests.support.fabricated import setting_of

SEEDS = range(5)


def like(store: Store, cell_id: str, **changes: Any) -> dict[str, Any]:
    """A row as that of a cell, with the setting that it then has."""
    row = store.read("cells", cell_id).to_pylist()[0] | changes
    trajectories = {"shadows.trajectories": True} if row["attack_family"] == "per_example" else {}
    setting = setting_of(row, **trajectories)
    store.write("settings", setting.setting, setting.rows())
    return row | {"setting": setting.setting, "conditions": setting.conditions}


def fail(store: Store, cell_id: str) -> None:
    row = store.read("cells", cell_id).to_pylist()[0]
    store.delete("cells", cell_id)
    store.write("cells", cell_id, [row | {"status": "failed", "error_type": "ValueError", "error": "NaN"}])


def lose_shadow(store: Store, name: str, shadow: int) -> None:
    """The unlearning of one shadow model failed: no observations of it, and no attack on all of them."""
    stage = f"work-{name}-{shadow}"
    row = store.read("models", stage).to_pylist()[0]
    store.delete("models", stage)
    store.delete("observations", stage, architecture="net", method=name, scope="all")
    store.write("models", stage, [row | {"status": "failed", "error_type": "ValueError", "error": "NaN"}])
    fail(store, f"{name}-all-before_after-0")


def planned(store: Store, cells: list[dict[str, Any]]) -> None:
    """A run asked for these cells, and came to none of them."""
    columns = set(TABLES["plans"].columns) - {"run_id", "cell_id"}
    rows = [
        {"cell_id": f"waiting-{number}", **{name: row[name] for name in columns}}
        for number, row in enumerate(cells)
    ]
    store.write("plans", "interrupted", rows)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ClaimAnswer]]:
    """Answers where scrub has failed here and there, and salun was asked for and never ran."""
    root = str(tmp_path_factory.mktemp("gaps") / "results")
    shutil.copytree(claim_results("effect").root, root)
    store = Store(root)
    for cell in ("scrub-all-apgd-2", f"scrub-{SCOPED}-none-3", "scrub-all-none-1", "rsu_shuffled-all-none-4"):
        fail(store, cell)
    waiting = [
        like(store, f"scrub-{scope}-{attack}-0", method="salun", seed=seed)
        for scope, attack in (("all", "none"), (SCOPED, "none"), ("all", "apgd"))
        for seed in SEEDS
    ]
    for attack in ("before_after", "rank_test"):
        waiting.append(like(store, "scrub-all-before_after-0", method="salun", attack=attack))
    lose_shadow(store, "scrub", 6)
    planned(store, waiting)
    with Results(root, "all") as results:
        yield {one.claim: one for one in answers(results)}


SALUN = "salun (5 of 5 models: 5 not run)"


@pytest.mark.parametrize(
    ("letter", "missing"),
    [
        ("a", ["salun (5 of 5 models: 5 not run)", "scrub (1 of 5 models: 1 failed)"]),
        ("b", ["salun (5 of 5 models: 5 not run)", "scrub (1 of 5 models: 1 failed)"]),
        (
            "c",
            [
                "rsu_shuffled in scope all (1 of 5 models: 1 failed)",
                "salun in scope all (5 of 5 models: 5 not run)",
                f"salun in scope {SCOPED} (5 of 5 models: 5 not run)",
                "scrub in scope all (1 of 5 models: 1 failed)",
                f"scrub in scope {SCOPED} (1 of 5 models: 1 failed)",
            ],
        ),
        (
            "d",
            ["salun (2 not run)", "scrub (1 shadow models failed)"],
        ),  # the other model of the pair is there
        ("e", ["salun (1 not run)", "scrub (1 shadow models failed, so that it is left out)"]),
        ("f", ["salun (2 not run)", "scrub (1 shadow models failed, so that it is left out)"]),
        ("g", ["salun (2 not run)", "scrub (1 shadow models failed, so that it is left out)"]),
        ("h", ["rsu_shuffled (1 of 5 models: 1 failed)"]),
        (
            "i",
            [
                "rsu_shuffled (1 of 5 models: 1 failed)",
                "salun (5 of 5 models: 5 not run)",
                "scrub (1 of 5 models: 1 failed)",
            ],
        ),
    ],
)
def test_each_claim_names_who_is_missing_and_why(
    found: dict[str, ClaimAnswer], letter: str, missing: list[str]
) -> None:
    one = found[letter]
    assert list(one.missing) == missing
    assert f"; missing: {', '.join(missing)}; " in one.sentence
    assert one.command.endswith("--rerun failed")


def test_twin_is_not_closest_while_a_rival_is_not_measured(found: dict[str, ClaimAnswer]) -> None:
    one = found["i"]
    assert (one.verdict, one.low is not None and one.low > 0) == ("undecided", True)
    assert one.sentence.endswith(
        "undecided (all rivals have to be beaten, and not all were measured: rsu_shuffled, salun, scrub)."
    )


def test_what_is_whole_misses_nobody() -> None:
    with Results(claim_results("effect").root, "all") as results:
        assert [one.missing for letter in "bi" for one in answers(results, claim=letter)] == [(), ()]


def test_a_method_without_a_pair_is_left_out_of_the_mean(found: dict[str, ClaimAnswer]) -> None:
    assert "over 1 methods and 4 folds" in found["f"].sentence
    assert "over 1 methods and 8 pairs" in found["g"].sentence
    assert "over 2 methods and 8 pairs" in found["d"].sentence


def test_without_an_answer_it_is_said_how_many_failed_and_how_many_never_ran(tmp_path: Path) -> None:
    shutil.copytree(claim_results("few").root, tmp_path / "results")
    store = Store(str(tmp_path / "results"))
    for seed in range(2):
        fail(store, f"twin-all-none-{seed}")
    planned(store, [like(store, "twin-all-none-0", seed=seed, status="finished") for seed in (2, 3, 4)])
    with Results(store.root, "all") as results:
        [one] = answers(results, claim="i")
    # those in the other scope have finished: of twin there are cells, though none that stands beside another
    assert "(2 failed, 3 not run)" in one.sentence
