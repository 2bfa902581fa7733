"""Per-example audits: floor and ceiling, resume, kills, backends, later methods."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator import run
from orchestrator.results.connection import Results
from orchestrator.scores import __main__ as scores
from orchestrator.store.store import Store
from tests.support.commands import ROOT, here, started
from tests.support.shadow_sweeps import TEXT, configured, copied, finished, observations, sweep


def files(folder: Path, *tables: str) -> dict[str, int]:
    """When each file of some tables was written; of a sweep that has ended."""
    found = [p for table in tables for p in (folder / "results" / table).rglob("*") if p.is_file()]
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in found}


def written(folder: Path) -> int:
    """How many observation files are whole, by name alone: a running sweep renames the others meanwhile."""
    return len(list((folder / "results" / "observations").rglob("[!.]*.arrow")))


def cells(folder: Path, query: str = "population_vs_per_example") -> dict[tuple[str, str, str], dict]:
    with Results(str(folder / "results")) as results:
        rows = results.query(query).to_pylist()
    return {(r["method"], r["attack"], r["variant"]): r for r in rows}


def test_retraining_is_the_floor_and_doing_nothing_the_ceiling() -> None:
    found = cells(finished())
    for attack in ("u_lira_g1", "u_lira_g2"):
        for grain in ("pooled", "example_mean"):
            floor = found["retrain", attack, f"u_lira_online:{grain}"]
            ceiling = found["no_op", attack, f"u_lira_online:{grain}"]
            assert floor["value_low"] < 0.5 < floor["value_high"]
            assert ceiling["value_low"] > 0.6
            assert ceiling["difference_low"] > 0
            assert (floor["position"], ceiling["position"]) == (0, 1)


def test_shadow_models_are_sound_and_every_state_is_observed() -> None:
    with Results(str(finished() / "results")) as results:
        (health,) = results.query("shadow_health").to_pylist()
        states = results.sql(
            "select state, count(distinct shadow) as shadows from observations "
            "where method = 'finetune' and epoch is null group by state"
        ).to_pylist()
        harm = results.query("retain_harm").to_pylist()
        labels = results.sql("select distinct label from setting_labels").to_pylist()
        resting = results.sql("select distinct attack_family, num_shadows from cells").to_pylist()
    assert labels == [{"label": ""}]  # a model and shadow models of one name are no two settings
    assert {(r["attack_family"] == "per_example", r["num_shadows"]) for r in resting} <= {
        (True, 16),
        (False, None),
    }
    assert (health["shadows"], health["unique_masks"], health["unbalanced_examples"]) == (16, 16, 0)
    assert health["failed_draws"] == 0
    assert health["train_accuracy"] > health["test_accuracy"] + 0.2
    assert {s["state"]: s["shadows"] for s in states} == dict.fromkeys(
        ("unlearned", "retained", "never", "test"), 16
    )
    assert {r["method"] for r in harm} == {"finetune", "no_op", "retrain"}
    assert all(r["control"] is not None for r in harm)


def test_running_again_computes_nothing(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    tables = ("observations", "shadows", "weights", "models", "cells", "metrics", "examples")
    before = files(folder, *tables)
    ran = sweep(folder, report=True)
    assert ran.returncode == 0, ran.stderr
    assert (folder / "results" / "report.html").is_file()
    assert files(folder, *tables) == before
    assert "shadow models" not in ran.stderr


def test_a_dry_run_counts_what_a_rerun_makes_again(tmp_path: Path) -> None:
    folder = copied(tmp_path)

    def stages(rerun: str) -> int:
        ran = sweep(folder, "--dry-run", "--format", "json", "--rerun", rerun)
        assert ran.returncode == 0, ran.stderr
        count: int = json.loads(ran.stdout)["observations"]["stages"]
        return count

    store = Store(str(folder / "results"))
    rows = [m for m in store.read("models").to_pylist() if m["kind"] == "shadow"]
    assert stages("all") == len(rows) == 16 * 4
    broken = next(m for m in rows if m["method"] == "finetune")
    failure = {"status": "failed", "error_type": "TimeLimit", "error": "it took too long"}
    store.write("models", broken["model_id"], [broken | failure])
    assert stages("none") == 0
    assert stages("failed") == 1


def test_a_kill_midway_changes_no_observation(tmp_path: Path) -> None:
    killed = 0
    for at_least in (3, 20):
        words = [sys.executable, "-m", "orchestrator.sweep", *configured(tmp_path)]
        with subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 240
            while written(tmp_path) < at_least and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
    assert killed == 2
    assert 20 <= written(tmp_path) < written(finished())
    ran = sweep(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert observations(tmp_path).equals(observations(finished()))
    ours, theirs = cells(tmp_path), cells(finished())
    assert {k: r["value"] for k, r in ours.items()} == {k: r["value"] for k, r in theirs.items()}


@pytest.mark.slow
def test_ray_tasks_give_the_same_bits(tmp_path: Path) -> None:
    words = [*configured(tmp_path), "--no-report", "--backend", "local"]
    ran = started("orchestrator.sweep", *words, timeout=500)
    assert ran.returncode == 0, ran.stderr
    assert observations(tmp_path).equals(observations(finished()))
    ours, theirs = cells(tmp_path), cells(finished())
    assert {k: r["value"] for k, r in ours.items()} == {k: r["value"] for k, r in theirs.items()}


def test_a_later_method_that_ranks_by_risk_trains_no_shadow_again(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    scored = here(scores.main, folder / "results", "--architecture", "net", "--output", folder / "risk.npz")
    assert scored.returncode == 0, scored.stderr
    before = files(folder, "observations", "shadows", "weights")
    changes = {"method": '["finetune", "by_risk"]', "scores": f'"{folder / "risk.npz"}"'}
    ran = sweep(folder, **changes)
    assert ran.returncode == 0, ran.stderr
    after = files(folder, "observations", "shadows", "weights")
    assert {name: after[name] for name in before} == before
    new = after.keys() - before.keys()
    assert len(new) == 16
    assert all("method=by_risk" in name for name in new)
    assert ("by_risk", "u_lira_g2", "u_lira_online:pooled") in cells(folder)


def test_canaries_bound_epsilon_in_one_run(tmp_path: Path) -> None:
    ran = sweep(
        tmp_path,
        *("--set", "shadows.canaries=24", "--set", "shadows.trajectories=false"),
        attack='["u_lira_g2", "one_run", "one_run:game=G2"]',
        batch="16",
        strategy='"grouped:16"',
    )
    assert ran.returncode == 0, ran.stderr
    store = Store(str(tmp_path / "results"))
    method = {r["cell_id"]: r["method"] for r in store.read("cells").to_pylist()}
    found = [r for r in store.read("metrics").to_pylist() if r["metric"] == "epsilon_lower_bound"]
    bounds: dict[tuple[str, str], dict[str, float]] = {}
    for row in found:
        assert row["n"] == 16
        assert 0 <= row["ci_low"] == row["value"]
        _, kind, which = row["variant"].split(":")
        assert kind == "mislabelled"
        bounds.setdefault((row["game"], method[row["cell_id"]]), {})[which.split("_")[0]] = row["value"]
    assert set(bounds) == {("G0", "no_op"), ("G2", "no_op"), ("G2", "retrain"), ("G2", "finetune")}
    assert bounds["G0", "no_op"]["largest"] > 0
    assert bounds["G2", "no_op"] == bounds["G0", "no_op"]  # what was not forgotten is as exposed as before
    assert bounds["G2", "retrain"]["median"] == 0  # a model that never saw the coins cannot tell them
    observed = store.read("observations").to_pylist()
    forgotten = {r["shadow"]: 0 for r in observed}
    for r in observed:
        if (r["pool"], r["method"], r["state"]) == ("canaries", "retrained", "unlearned"):
            forgotten[r["shadow"]] += 1
    assert all(forgotten[2 * p] + forgotten[2 * p + 1] == 24 for p in range(8))
    assert len({forgotten[2 * p] for p in range(8)}) > 1  # fair coins, not halves


@pytest.mark.slow
def test_a_control_of_the_shadow_models_is_judged_like_a_method(tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_text(TEXT)
    changes = {"answers.control": "all", "axes.attack": ["u_lira_g1"], "shadows.trajectories": False}
    outcome = run(tmp_path / "audit.toml", out=tmp_path / "results", backend="inline", set=changes)
    assert outcome.finished
    rows = outcome.results.sql(
        "select role, ci_low, ci_high from cells join metrics using (cell_id) where variant like '%example_mean'"
    ).to_pylist()
    found = {row["role"]: row for row in rows}
    assert found["control"]["ci_low"] < 0.5 < found["control"]["ci_high"]
    assert found["control"] != found["reference"] | {"role": "control"}
    assert found["ceiling"]["ci_low"] > 0.5
