"""Whole sweeps: rows, resume, failures, kills, backends."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.store.store import Store
from tests.chaos.harness import Run
from tests.chaos.processes import LOOPBACK, listening, of_run
from tests.support.commands import ROOT
from tests.support.sweeps import TABLES, changed, content, started_sweep, sweep, words_of_sweep, write_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An undisturbed inline run of the tiny sweep."""
    folder = tmp_path_factory.mktemp("undisturbed")
    config = write_config(folder)
    ran = sweep(config, "--out", folder / "results", report=True)
    assert ran.returncode == 0, ran.stderr
    return folder, ran


def like_uv_run(folder, monkeypatch):
    """What Ray takes for `uv run`: below it workers start alike, in a copy of this directory somewhere else."""
    (folder / "uv").symlink_to(shutil.which("bash"))
    (folder / "run").write_text('while [[ $1 == --* ]]; do shift 2; done\n"$@"\nexit $?\n')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return [str(folder / "uv"), "run"]


def test_a_sweep_writes_every_table_and_says_where(finished):
    folder, ran = finished
    rows = content(folder / "results")
    assert len(rows["cells"]) == 21
    assert all('"status": "finished"' in row for row in rows["cells"])
    assert all(rows[table] for table in TABLES)
    assert "21 of 21 cells finished, 0 failed" in ran.stderr
    assert "retrain_again" in ran.stdout
    assert (folder / "results" / "report.html").is_file()
    run = Store(str(folder / "results")).read("runs").to_pylist()[0]
    assert json.loads(run["config_json"])["training"]["epochs"] == 2
    assert json.loads(run["packages_json"])["torch"]


def test_every_estimate_carries_an_interval_that_holds_it(finished):
    exact = {"epsilon_ceiling", "epsilon_lower_bound"}
    for row in Store(str(finished[0] / "results")).read("metrics").to_pylist():
        if row["metric"] in exact:
            continue
        assert row["ci_low"] is not None, row
        assert row["ci_high"] is not None, row
        assert row["ci_low"] - 1e-9 <= row["value"] <= row["ci_high"] + 1e-9, row


def test_the_reference_has_no_gap_to_itself(finished):
    store = Store(str(finished[0] / "results"))
    reference = {r["cell_id"] for r in store.read("cells").to_pylist() if r["role"] == "reference"}
    gaps = [
        r["value"]
        for r in store.read("metrics").to_pylist()
        if r["cell_id"] in reference
        and (r["metric"] == "average_gap" or r["metric"].endswith("_to_retrained"))
    ]
    assert gaps
    assert max(map(abs, gaps)) < 1e-12


def test_running_again_computes_nothing(finished):
    folder, _ = finished
    before = {p: p.stat().st_mtime_ns for p in (folder / "results" / "cells").rglob("*.arrow")}
    again = sweep(folder / "audit.toml", "--out", folder / "results")
    assert again.returncode == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in (folder / "results" / "cells").rglob("*.arrow")} == before
    assert "training:" not in again.stderr


@pytest.mark.slow  # on Ray other processes do, and give the same bits
def test_a_second_process_gives_the_same_bits(finished, tmp_path):
    ran = started_sweep(finished[0] / "audit.toml", "--out", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    assert content(tmp_path / "results") == content(finished[0] / "results")


def test_the_local_ray_backend_gives_the_same_bits_and_listens_on_loopback_alone(
    finished, tmp_path, monkeypatch
):
    """Also below `uv run`, and where temporary files go to a place of a name in which Ray cannot work."""
    temporary = tmp_path / "Zoé, whose temporary files lie deep below a directory of a long name"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    config, results = (
        Path(os.path.relpath(path, ROOT)) for path in (finished[0] / "audit.toml", tmp_path / "results")
    )
    run, seen = Run(config, results, "local", like_uv_run(tmp_path, monkeypatch)), set()
    while run.driver.poll() is None:
        seen |= listening(of_run(run.mark))
        time.sleep(0.5)
    assert run.wait() == 0, run.log.read_text()
    assert "note: Ray's files are in /" in run.log.read_text()
    assert {kind for kind, _ in seen} >= {"driver", "raylet", "gcs", "host", "agent"}
    assert {(kind, address) for kind, address in seen if address not in LOOPBACK} == set()
    assert content(tmp_path / "results") == content(finished[0] / "results")


def test_killing_the_driver_at_any_moment_loses_and_doubles_nothing(finished, tmp_path):
    """Three kills, each a little later than the start of useful work; then one run to the end."""
    results = tmp_path / "results"
    command = words_of_sweep(finished[0] / "audit.toml", results)
    for kill in range(3):
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
            deadline = time.monotonic() + 60
            seen = len(list(results.rglob("*.arrow")))
            while run.poll() is None and time.monotonic() < deadline:
                if len(list(results.rglob("*.arrow"))) > seen + 6 * kill:
                    break
                time.sleep(0.01)
            run.send_signal(signal.SIGKILL)
    ran = sweep(finished[0] / "audit.toml", "--out", results)
    assert ran.returncode == 0, ran.stderr
    assert content(results) == content(finished[0] / "results")


def test_ctrl_c_drains_and_a_second_run_completes(finished, tmp_path):
    results = tmp_path / "results"
    command = words_of_sweep(finished[0] / "audit.toml", results)
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        while run.poll() is None and not list(results.rglob("models/*.arrow")):
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert "once more stops at once" in errors
    assert sweep(finished[0] / "audit.toml", "--out", results).returncode == 0
    assert content(results) == content(finished[0] / "results")


def test_a_failing_cell_is_a_row_and_the_sweep_goes_on(tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text(
        changed({"[methods.gradient_ascent]\nepochs = 1": "[methods.gradient_ascent]\nepochs = 3\nlr = 1e30"})
    )
    ran = sweep(path, "--out", tmp_path / "results", report=True)
    assert ran.returncode == 1, ran.stderr
    assert (tmp_path / "results" / "report.html").is_file()
    rows = Store(str(tmp_path / "results")).read("cells").to_pylist()
    failed = [r for r in rows if r["status"] == "failed"]
    assert len(rows) == 21
    assert {r["method"] for r in failed} == {"gradient_ascent"}
    assert {r["error_type"] for r in failed} == {"Diverged"}
    repaired = sweep(
        path, "--out", tmp_path / "results", "--rerun", "failed", "--set", "methods.gradient_ascent.lr=0.001"
    )
    assert repaired.returncode == 0, repaired.stderr


@pytest.mark.parametrize(
    ("replacements", "arguments", "message"),
    [
        ({'timm = "resnet18"': 'timm = "resnet81"'}, [], "no timm model 'resnet81'"),
        ({'["all", "head"]': '["all", "regex:nothing"]'}, [], "nothing"),
        ({}, ["--axes.method", "scrubb"], "Did you mean 'scrub'"),
        ({}, ["--only", "method=nothing"], "no method 'nothing'"),
        ({}, ["--set", "training.epochs"], "expected key=value"),
        ({}, ["--out", "/proc/results"], "/proc"),
        ({'name = "tiny"': 'name = "tiny"\nplugins = ["no_such_module"]'}, [], "no_such_module"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, replacements, arguments, message):
    path = tmp_path / "audit.toml"
    path.write_text(changed(replacements))
    out = [] if "--out" in arguments else ["--out", tmp_path / "results"]
    ran = sweep(path, *out, *arguments)
    assert ran.returncode == 2, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in ran.stderr
    assert not list((tmp_path / "results").glob("cells/*"))
