"""Copies that stay in the retain set: recorded with the forget set, warned of, queried, certified."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.config.settings import load
from orchestrator.plan.cells import Plan
from orchestrator.plan.grid import make_plan
from orchestrator.records import retained_copies
from orchestrator.report.certificate import copies
from orchestrator.report.facts.record import record
from orchestrator.results.charts.answers import Answers
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from orchestrator.sweep import main
from tasks.errors import AuditError
from tests.support.audited import write_run
from tests.support.sweeps import TINY, changed

SYNTHETIC = TINY.partition("[data]\n")[2].partition("[axes]")[0]
NAME = "random:count=10"


def planned(folder: Path, *, exact: int = 0, near: int = 0) -> Plan:
    """The tiny sweep on random images, ten forgotten; of the first of these, copies are put among the retained."""
    generator = np.random.default_rng(5)
    images = generator.integers(0, 256, (160, 1, 8, 8)).astype(np.uint8)
    text = changed(
        {
            SYNTHETIC: f'name = "npz"\noptions = {{ path = "{folder}/mine.npz" }}\n',
            "random:fraction=0.2": NAME,
        }
    )
    (folder / "audit.toml").write_text(text)

    def plan() -> Plan:
        np.savez(folder / "mine.npz", images=images, labels=np.arange(160) % 4)
        return make_plan(load(str(folder / "audit.toml"), {}))

    first = plan()
    forget = first.data.forget_sets[NAME].ids
    retained = np.setdiff1d(first.data.splits.train, forget)
    images[retained[:exact]] = images[forget[:exact]]
    noisy = images[forget[exact : exact + near]] + generator.integers(-3, 4, (near, 1, 8, 8))
    images[retained[exact : exact + near]] = np.clip(noisy, 0, 255)
    return plan()


def recorded(folder: Path, **planted: int) -> tuple[Plan, Store, list[str]]:
    plan, store = planned(folder, **planted), Store(str(folder / "results"))
    store.check_ready()
    return plan, store, write(plan, store)


def write(plan: Plan, store: Store) -> list[str]:
    """As a sweep does when it starts."""
    new = retained_copies.unrecorded(plan.data, store)
    return retained_copies.write_forget_sets(plan.data, store, new, dataset="mine")


def rows(store: Store) -> list[dict]:
    return sorted(store.read("forget_sets").to_pylist(), key=lambda row: row["example_id"])


def test_rows_name_each_copy_and_a_query_counts_them(tmp_path: Path) -> None:
    """Trap 20: dedupe or record."""
    plan, store, warnings = recorded(tmp_path, exact=2, near=3)
    ids = plan.data.forget_sets[NAME].ids
    retained = np.setdiff1d(plan.data.splits.train, ids)
    (warning,) = warnings
    assert warning.startswith(f"{NAME}: of 10 forget examples 2 have an exact and 3 a near copy")
    assert f"({ids[0]}, {ids[1]}, {ids[2]}, ...)" in warning
    found = rows(store)
    assert [row["retained_exact"] for row in found] == [1, 1] + [0] * 8
    assert [row["retained_nearest"] for row in found[:5]] == retained[:5].tolist()
    assert all(row["retained_distance"] > 0.03 for row in found[5:])
    with Results(store.root) as results:
        (counted,) = results.query("retained_copies").to_pylist()
        (wide,) = results.query("retained_copies", threshold=1.0).to_pylist()
    assert [counted[name] for name in ("examples", "searched", "exact", "near")] == [10, 10, 2, 3]
    assert counted["example_ids"] == ids[:5].tolist()
    assert (counted["closest_example"], counted["closest_retained"]) == (ids[0], retained[0])
    assert (wide["exact"], wide["near"]) == (2, 8)


def test_certificate_and_report_say_what_stays(tmp_path: Path) -> None:
    plan, store, _ = recorded(tmp_path, exact=1, near=2)
    ids = plan.data.forget_sets[NAME].ids.tolist()
    text = copies(rows(store))
    assert f"1 with an exact copy ({ids[0]}); 2 with a near copy ({ids[1]}, {ids[2]})" in text
    assert "cannot be decided" in text
    write_run(store)
    with Results(store.root) as results:
        (found,) = record(Answers(results)).copies
    assert (found.examples, found.exact, found.near, list(found.ids)) == (10, 1, 2, ids[:3])


def test_nothing_stays_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, store, warnings = recorded(tmp_path)
    assert warnings == []
    assert all(row["retained_exact"] == 0 for row in rows(store))
    assert copies(rows(store)).startswith("none found")
    assert main([str(tmp_path / "audit.toml"), "--dry-run", "--out", store.root]) == 0
    assert "copies" not in capsys.readouterr().out


def test_a_plan_warns_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned(tmp_path, exact=4)
    assert main([str(tmp_path / "audit.toml"), "--dry-run", "--out", str(tmp_path / "none")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("copies")]
    assert "4 have an exact and 0 a near copy" in line


def test_a_large_search_is_left_to_the_sweep_or_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(tmp_path, exact=1)
    monkeypatch.setattr(retained_copies, "QUICK_PRODUCTS", 10)
    assert retained_copies.plan_lines(plan.data) == [
        f"{NAME}: the sweep looks for copies that stay in the retain set, which takes time"
    ]
    monkeypatch.setattr(retained_copies, "MOST_PRODUCTS", 10)
    _, store, warnings = recorded(tmp_path, exact=1)
    assert warnings == []
    with Results(store.root) as results:
        (counted,) = results.query("retained_copies").to_pylist()
    assert [counted[name] for name in ("searched", "exact", "near", "smallest_distance")] == [
        0,
        None,
        None,
        None,
    ]
    assert copies(rows(store)).startswith("not looked for: comparing 10 x ")
    assert retained_copies.unrecorded(plan.data, store) == []
    monkeypatch.setattr(retained_copies, "MOST_PRODUCTS", 10**9)
    assert len(write(plan, store)) == 1


def test_images_that_no_cell_can_read_are_bad_input(tmp_path: Path) -> None:
    plan = planned(tmp_path, exact=1)
    (tmp_path / "mine.npz").write_bytes(b"no archive")
    with pytest.raises(AuditError, match=r"expected a \.npz file"):
        retained_copies.plan_lines(plan.data)


def test_a_data_set_that_breaks_ends_neither_plan_nor_sweep(tmp_path: Path, monkeypatch) -> None:
    plan = planned(tmp_path, exact=1)

    def broken(self: object) -> None:
        raise RuntimeError("of a plug-in")

    monkeypatch.setattr(type(plan.data.source), "read_images", broken)
    assert retained_copies.plan_lines(plan.data) == []
    store = Store(str(tmp_path / "results"))
    store.check_ready()
    assert write(plan, store) == []
    assert copies(rows(store)).startswith("not looked for: the images cannot be read: ")


def test_what_is_recorded_is_not_searched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, store, _ = recorded(tmp_path, exact=1)
    searched = []
    monkeypatch.setattr(retained_copies, "find_copies", lambda *given, **more: searched.append(given))
    assert write(plan, store) == []
    assert searched == []
    assert rows(store)[0]["retained_exact"] == 1
    origin = json.loads(rows(store)[0]["provenance_json"])
    assert origin["kind"] == "random"
    assert origin["retained_copies"]["near"] == 0.03


def test_two_names_of_the_same_examples_are_two_records(tmp_path: Path) -> None:
    plan, store, _ = recorded(tmp_path, exact=1)
    forget = plan.data.forget_sets[NAME]
    both = replace(plan, data=replace(plan.data, forget_sets={NAME: forget, "again": forget}))
    assert len(write(both, store)) == 1
    assert retained_copies.unrecorded(both.data, store) == []
    with Results(store.root) as results:
        found = results.query("retained_copies").to_pylist()
    assert [(r["dataset"], r["forget_set"], r["exact"]) for r in found] == [
        ("mine", "again", 1),
        ("mine", NAME, 1),
    ]


def test_a_plan_decodes_no_folder_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(tmp_path, exact=1)
    monkeypatch.setattr(type(plan.data.source), "decodes", True)
    monkeypatch.setattr(type(plan.data.source), "read_images", lambda _: pytest.fail("decoded"))
    (line,) = retained_copies.plan_lines(plan.data)
    assert line.endswith("which takes time")
