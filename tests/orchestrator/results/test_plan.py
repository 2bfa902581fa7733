"""Which cells an answer rests on: those of one run, or of all runs those that no later one replaced."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestrator.results.connection import Results
from orchestrator.results.formats import render
from orchestrator.store.store import Store
from tests.support.audited import NOON, ROLES
from tests.support.fabricated import setting_of, write_plan, write_setting

METHODS = ("retrain", "kept")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path / "made"))
    made.check_ready()
    return made


def sweep(
    store: Store,
    run_id: str,
    *,
    accuracy: float,
    seeds: Iterable[int] = (0,),
    entries: dict[str, Any] | None = None,
    forget_digest: str = "f0",
    minutes: float = 0,
) -> list[str]:
    """Cells of a retrained model and of the method `kept` with an accuracy, and a run that asks for them."""
    cells = []
    for seed in seeds:
        for method in METHODS:
            row = {
                "model_id": f"{method}-{accuracy if method == 'kept' else ''}-{seed}-{forget_digest}",
                "reference_id": f"retrain--{seed}-{forget_digest}",
                "dataset": "digits",
                "architecture": "net",
                "method": method,
                "scope": "all",
                "attack": "none",
                "attack_family": "none",
                "forget_set": "mine",
                "forget_digest": forget_digest,
                "seed": seed,
                "role": ROLES.get(method, "audited"),
                "status": "finished",
                "finished_at": NOON + timedelta(minutes=minutes),
                "run_id": run_id,
            }
            setting = setting_of(row, **(entries or {} if method == "kept" else {}))
            write_setting(store, setting)
            key = f"{row['model_id']}-{setting.setting}".replace("--", "-")
            store.write("cells", key, [row | {"setting": setting.setting, "conditions": setting.conditions}])
            value = accuracy if method == "kept" else 0.5
            metric = {"metric": "accuracy", "split": "forget", "variant": "", "value": value, "n": 100}
            store.write("metrics", key, [metric | {"higher_is": "closer_to_retrained"}])
            cells.append(key)
    write_plan(store, run_id, cells)
    return cells


def kept(store: Store, run: str | None, query: str = "leaderboard") -> list[dict[str, Any]]:
    with Results(store.root, run) as results:
        return [row for row in results.query(query).to_pylist() if row["method"] == "kept"]


def values(store: Store, run: str | None) -> list[float]:
    return sorted(row["value"] for row in kept(store, run))


def test_a_version_raised_then_lowered(store: Store) -> None:
    """The later run counts, not the higher version and not the later clock."""
    old = sweep(store, "first", accuracy=0.6, entries={"method.version": 1}, minutes=9)
    sweep(store, "second", accuracy=0.8, entries={"method.version": 2})
    assert values(store, None) == values(store, "all") == [0.8]
    assert values(store, "first") == [0.6]
    (row,) = kept(store, "first", "superseded")
    assert (row["differs"], row["last_run_id"], row["replaced_in"]) == (
        "method.version: 1 -> 2",
        "first",
        "second",
    )
    assert row["cell_id"] in old
    write_plan(store, "third", old)
    assert values(store, None) == values(store, "all") == [0.6]
    (row,) = kept(store, None, "superseded")
    assert (row["differs"], row["replaced_in"]) == ("method.version: 2 -> 1", "third")


def test_other_values_are_no_newer_version(store: Store) -> None:
    sweep(store, "first", accuracy=0.6, entries={"method.lr": 0.1, "method.version": 1})
    sweep(store, "second", accuracy=0.8, entries={"method.lr": 0.2, "method.version": 2})
    assert values(store, None) == [0.8]
    assert values(store, "all") == [0.6, 0.8]
    assert kept(store, "all", "superseded") == []
    labels = sorted(row["setting_label"] for row in kept(store, "all"))
    assert labels == ["lr=0.1, version=1", "lr=0.2, version=2"]
    assert [row["setting_label"] for row in kept(store, None)] == [""]


@pytest.mark.parametrize(
    "entries",
    [
        {"training.epochs": 8},
        {"attack.eps": [0.1]},
        {"shadows.num": 24},
        {"data.splits": "0" * 64},
        {"architecture.options.channels": [8, 8]},
        {"evaluation.bootstrap": 50},
    ],
    ids=lambda entries: next(iter(entries)),
)
def test_other_conditions_under_one_name_stand_apart(store: Store, entries: dict[str, Any]) -> None:
    """Each is ranked alone, beside its own retrained model or none, and never averaged with the other."""
    sweep(store, "first", accuracy=0.6)
    sweep(store, "second", accuracy=0.8, entries=entries)
    first, second = sorted(kept(store, "all"), key=lambda row: row["value"])
    assert (first["value"], second["value"], first["seeds"], second["seeds"]) == (0.6, 0.8, 1, 1)
    assert first["conditions"] != second["conditions"]
    assert (first["rank"], second["rank"]) == (1, 1)
    assert first["retrained"] == 0.5
    assert second["retrained"] is None  # `sweep` gives the retrained model the first conditions
    (name,) = entries
    assert second["setting_label"].startswith(f"{name}=")


def test_a_seed_or_a_method_that_is_no_longer_asked_for_does_not_count(store: Store) -> None:
    cells = sweep(store, "first", accuracy=0.6, seeds=(0, 1, 2))
    sweep(store, "second", accuracy=0.6, seeds=(0,))
    assert [row["seeds"] for row in kept(store, None)] == [1]
    assert (
        [row["seeds"] for row in kept(store, "first")] == [row["seeds"] for row in kept(store, "all")] == [3]
    )
    write_plan(store, "third", [cell for cell in cells if cell.startswith("retrain")])
    assert kept(store, None) == []


def test_one_name_of_two_choices_of_examples_stands_for_both_apart(store: Store) -> None:
    sweep(store, "first", accuracy=0.6, forget_digest="a" * 64)
    sweep(store, "second", accuracy=0.8, forget_digest="b" * 64)
    named = {row["forget_set"]: (row["value"], row["retrained"]) for row in kept(store, "all")}
    assert named == {"mine (aaaaaa)": (0.6, 0.5), "mine (bbbbbb)": (0.8, 0.5)}
    assert [row["forget_set"] for row in kept(store, None)] == ["mine"]


def test_a_sweep_that_begins_meanwhile_counts_after_a_refresh(store: Store) -> None:
    sweep(store, "first", accuracy=0.6)
    with Results(store.root) as results:
        before = results.query("leaderboard")
        sweep(store, "second", accuracy=0.8)
        assert results.query("leaderboard").equals(before)
        results.refresh()
        assert results.run == "second"
        assert 0.8 in results.query("leaderboard")["value"].to_pylist()


def test_an_export_selects_the_same_plan_and_another_can_be_chosen(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(store, "first", accuracy=0.6, entries={"method.lr": 0.1})
    sweep(store, "second", accuracy=0.8, entries={"method.lr": 0.2})
    asked = "select value from leaderboard where method = 'kept' order by value"
    with Results(store.root, "first") as results:
        results.export(tmp_path / "export")
    monkeypatch.chdir(tmp_path / "export")
    plain = duckdb.connect()
    plain.execute(Path("views.sql").read_text())
    assert plain.sql(asked).fetchall() == [(0.6,)]
    plain.execute("create or replace temp view asked_run as select 'all' as run_id")
    assert plain.sql(asked).fetchall() == [(0.6,), (0.8,)]


def test_people_see_labels_where_they_say_something_and_no_digests(store: Store) -> None:
    sweep(store, "first", accuracy=0.6, entries={"method.lr": 0.1})
    sweep(store, "second", accuracy=0.8, entries={"method.lr": 0.2})
    for run, shown in ((None, False), ("all", True)):
        with Results(store.root, run) as results:
            rows = results.query("leaderboard")
        for form in ("table", "markdown", "latex"):
            text = render(rows, form).decode()
            assert ("lr=0.2" in text) == shown
            assert rows["conditions"][0].as_py() not in text
        assert rows["conditions"][0].as_py() in render(rows, "csv").decode()
