"""The second terminal: running, finished, killed and failed sweeps, from their files alone."""

import json
from datetime import timedelta

import pytest

from orchestrator.progress.status import as_json, lines, read_status
from orchestrator.status import main
from orchestrator.store.stages import begun
from orchestrator.store.store import Store, existing
from tasks.errors import AuditError, UnknownName
from tests.support.audited import NOON, audited_root, write_cell, write_run


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "made"))


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def test_a_running_sweep_shows_rate_and_time_left(store):
    write_run(store, cells=10)
    for seed in range(4):
        write_cell(store, "finetune", seed=seed, minutes=2 * seed)
    status = read_status(store, now=at(7))
    assert (status.state, status.finished, status.left) == ("running", 4, 6)
    assert status.seconds_per_cell == pytest.approx(120)
    assert status.remaining == timedelta(minutes=12)
    text = "\n".join(lines(status))
    assert "0.5 cells a minute, about 12 min left (until 2026-03-01 12:19 UTC)" in text
    assert "finetune: 4" in text


def test_a_sweep_that_writes_nothing_has_stopped(store):
    write_run(store, cells=10)
    for seed in range(4):
        write_cell(store, "finetune", seed=seed, minutes=2 * seed)
    status = read_status(store, now=at(6 + 21))
    assert status.state == "stopped"
    assert "6 cells are missing" in "\n".join(lines(status))
    assert read_status(store, now=at(6 + 19)).state == "running"


def test_a_finished_sweep_with_failures_names_them(store, capsys):
    write_run(store, cells=2)
    write_cell(store, "finetune")
    write_cell(store, "scrub", status="failed", error_type="Diverged", error="loss is nan")
    assert main([store.root]) == 1
    out = capsys.readouterr().out
    assert "done with failures" in out
    assert "1 x Diverged: loss is nan" in out
    assert "scrub: 0 (+1 failed)" in out


def test_models_are_counted_of_how_many(store):
    """What another run made before counts for nothing here, unless this one needs it too."""
    store.check_ready()
    for key, kind in (("o1", "original"), ("s-other", "shadow")):
        store.write("models", key, [{"kind": kind, "status": "finished"}])
    write_run(store)
    (row,) = store.read("runs").to_pylist()
    kinds = {"o1": "original"} | {f"s{i}": "shadow" for i in range(4)}
    store.write("runs", row["run_id"], [row | {"stages_json": begun(kinds, store)}])
    for key, status in (("s0", "finished"), ("s1", "failed")):
        store.write("models", key, [{"kind": "shadow", "status": status, "error_type": "Diverged"}])
    text = "\n".join(lines(read_status(store, now=at(1))))
    assert "models        1 of 1 original, 2 of 4 shadow (1 failed) made" in text
    shown = as_json(read_status(store, now=at(1)))["models"]
    assert shown["shadow"] == {"done": 2, "failed": 1, "planned": 4}


def test_a_clock_that_is_behind_is_said_and_nothing_is_made_of_it(store):
    write_run(store, cells=10)
    for seed in range(2):
        write_cell(store, "finetune", seed=seed, minutes=60 * 24 * 40 + seed)
    status = read_status(store, now=at(1))
    text = "\n".join(lines(status))
    assert status.state == "running or stopped"
    assert (
        "last file 40.0 days ahead of this machine's clock: one of the two clocks is wrong (2026-04-10"
        in text
    )
    assert "8 cells are missing; look again" in text
    assert "until" not in text
    assert (
        read_status(store, now=at(60 * 24 * 40 + 1 - 0.05)).state == "running"
    )  # 3 s: clocks are never equal
    assert "last file 0 s ago" in "\n".join(lines(read_status(store, now=at(60 * 24 * 40 + 0.95))))


def test_results_that_move_away_while_they_are_watched(store, tmp_path, monkeypatch, capsys):
    write_run(store, cells=10)
    write_cell(store, "finetune")
    monkeypatch.setattr("time.sleep", lambda seconds: (tmp_path / "made").rename(tmp_path / "moved"))
    with pytest.raises(AuditError, match="made was moved or deleted while it was watched"):
        main([store.root, "--watch", "1"])
    assert "1 of 10 done" in capsys.readouterr().out


def test_results_that_cannot_be_read_are_one_line(store, monkeypatch):
    write_run(store, cells=10)
    refused = PermissionError(13, "Permission denied", "cells")

    def scan(place):
        raise refused

    monkeypatch.setattr("os.scandir", scan)
    with pytest.raises(AuditError, match=r"results: cannot list .*: Permission denied"):
        main([store.root])

    def read(files, path):
        raise refused

    monkeypatch.setattr("orchestrator.store.local_files.LocalFiles.read", read)
    with pytest.raises(AuditError, match=r"results: cannot read .*store\.json: Permission denied"):
        main([store.root])


def test_only_cells_of_this_run_set_the_pace(store):
    write_run(store, cells=10)
    for seed in range(3):
        write_cell(store, "finetune", seed=seed, minutes=seed, run_id="earlier")
    write_cell(store, "finetune", seed=3, minutes=60)
    status = read_status(store, now=at(60))
    assert status.seconds_per_cell is None
    assert status.finished == 4
    assert "unknown until two cells" in "\n".join(lines(status))


def test_planned_ids_leave_out_cells_of_other_sweeps(store):
    write_run(store, cells=2)
    ids = [write_cell(store, "finetune"), write_cell(store, "salun")]
    write_cell(store, "other")
    store.write("plans", "tiny-1", [{"cell_id": ids[0]}, {"cell_id": "missing"}])
    status = read_status(store, now=at(1))
    assert (status.finished, status.left) == (1, 1)
    assert status.by_axis["method"] == {"finetune": (1, 0)}


def test_without_a_run_nothing_is_claimed(store):
    store.check_ready()
    status = read_status(store, now=at(0))
    assert status.state == "no run recorded"
    assert status.left is None
    assert "0 of ? done" in "\n".join(lines(status))


def test_the_run_begun_last_counts_whatever_the_clock_says(store):
    write_run(store, "b-first", cells=50, at=at(5))
    write_run(store, "a-later", cells=1, at=at(0))
    write_cell(store, "finetune", run_id="a-later")
    assert read_status(store, now=at(6)).run_id == "a-later"
    named = read_status(store, now=at(6), run_id="b-first")
    assert (named.run_id, named.planned, named.finished) == ("b-first", 50, 0)
    with pytest.raises(UnknownName, match=r"--run: no run 'b-frist'\. Did you mean 'b-first'"):
        read_status(store, now=at(6), run_id="b-frist")


def test_a_real_finished_sweep(capsys):
    assert main([audited_root(), "--format", "json", "--watch", "5"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["state"] == "done"
    assert shown["left"] == 0
    assert shown["finished"] == shown["planned"] == 21
    assert all(made["done"] == made["planned"] > 0 for made in shown["models"].values())
    assert {"original", "retrained", "unlearned"} <= shown["models"].keys()
    by_attack = shown["by_axis"]["attack"]
    assert sum(v["finished"] for v in by_attack.values()) == 21


def test_json_holds_what_the_text_says(store):
    write_run(store, cells=3)
    write_cell(store, "finetune")
    shown = as_json(read_status(store, now=at(1)))
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["finished"], shown["left"]) == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"), [(["absent"], "no directory 'absent'"), (["x", "--watch", "-1"], "--watch")]
)
def test_bad_arguments_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=message):
        main(arguments)


def test_another_version_is_refused(store):
    store.check_ready()
    store.files.write("store.json", b'{"schema_version": 99}')
    with pytest.raises(AuditError):
        existing(store.root)
