"""Shadow models that hang in native code: their rows say so, and what remains is computed without trying them again."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.store.store import Store
from tests.chaos.harness import SHADOWS, content

ROOT = Path(__file__).parents[3]
PLUGIN = """
import ctypes
from pathlib import Path

from tasks.runtime import time_limit
from tasks.shadows import runs

time_limit.GRACE_SECONDS = 4.0  # in which what hangs is written, on a busy machine too
folder = Path(__file__).parent
train, unlearn = runs.train_shadows, runs.unlearn

def _meet(place):
    with open(folder / "met.txt", "a") as met:
        met.write(place + "\\n")
    if place in (folder / "hangs.txt").read_text().splitlines():
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):
            ctypes.CDLL(None).pthread_mutex_lock(mutex)

def _train(*arguments, **named):
    _meet("{} {}".format(*named["seed_paths"][0]))
    return train(*arguments, **named)

def _unlearn(method, run):
    _meet(f"{type(method).__name__} {run.seed}")
    return unlearn(method, run)

runs.train_shadows, runs.unlearn = _train, _unlearn
"""
POOL = "random:fraction=0.3"
TOLD = "TimeLimit: time limit: the stage took longer than 6 s"
pytestmark = pytest.mark.timeout(1500)


def prepared(folder: Path, *, all_kinds: bool) -> list[str]:
    """Write a sweep in which the training of a batch and an unlearning hang; return their places.

    With `all_kinds` exact controls that are trained together hang too, and two unlearnings of one batch.
    """
    text = SHADOWS.replace('device = "cpu"', 'device = "cpu"\nstage_timeout = 6')
    (folder / "hanging.py").write_text(PLUGIN)
    (folder / "audit.toml").write_text(text.replace("[data]", 'plugins = ["hanging"]\n[data]', 1))
    (folder / "plain.toml").write_text(text)
    layout = make_plan(load(str(folder / "plain.toml"), {})).shadow_sets["net"].layout
    places = [
        f"shadow order {layout.order_seed(0)}",
        f"Finetune {layout.unlearn_seed(2, POOL, 0)}",
        f"Finetune {layout.unlearn_seed(3, POOL, 0)}",
        f"shadow retrain {layout.unlearn_seed(4, POOL, 0)}",
    ][: 4 if all_kinds else 2]
    (folder / "hangs.txt").write_text("\n".join(places))
    return places


def run(folder: Path, *arguments: str, backend: str = "inline") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.sweep", str(folder / "audit.toml"), "--display", "plain"]
    return subprocess.run(
        [*command, "--out", str(folder / "results"), "--backend", backend, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "OMP_NUM_THREADS": "1"},
    )


def failures(store: Store) -> dict[tuple[str, int], tuple[str, str]]:
    rows = [m for m in store.read("models").to_pylist() if m["status"] == "failed"]
    return {(m["method"], m["shadow"]): (m["error_type"], m["error"]) for m in rows}


def check(folder: Path, places: list[str], hung: set[tuple[str, int]]) -> None:
    """Every hang was met once and is a row, and all that does not rest on it is there."""
    store = Store(str(folder / "results"))
    given_up = {(m, j) for m in ("finetune", "no_op") for j in (0, 1)}
    found = failures(store)
    assert found == {
        **dict.fromkeys(hung | {("none", 0), ("none", 1)}, ("TimeLimit", TOLD)),
        **dict.fromkeys(given_up, ("TimeLimit", f"the shadow model failed: {TOLD}")),
    }
    met = Counter((folder / "met.txt").read_text().splitlines())
    assert {met[place] for place in places} == {1}
    rows = store.read("observations").to_pylist()
    whole = {(m, j) for m in ("none", "finetune", "no_op", "retrained") for j in range(16)}
    assert {(r["method"], r["shadow"]) for r in rows} == whole - found.keys()
    accuracy = {s["shadow_id"]: s["test_accuracy"] for s in store.read("shadows").to_pylist()}
    assert len(accuracy) == 16
    assert list(accuracy.values()).count(None) == 2


def test_what_hangs_is_a_row_and_the_same_command_goes_on(tmp_path: Path) -> None:
    places = prepared(tmp_path, all_kinds=False)
    for _ in places:
        ran = run(tmp_path)
        assert ran.returncode == 2, ran.stderr
        told = [line for line in ran.stderr.splitlines() if line.startswith("error: ")]
        words = TOLD.removeprefix("TimeLimit: ")
        assert told == [f"error: {words}, in native code; it is recorded, and the same command goes on"]
    ran = run(tmp_path)
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 1, ran.stderr
    assert "of shadow models failed: cells rest on what is left" in ran.stderr
    check(tmp_path, places, {("finetune", 2)})


@pytest.mark.slow
def test_on_ray_the_rest_of_a_batch_goes_on_and_failures_are_computed_again(tmp_path: Path) -> None:
    places = prepared(tmp_path, all_kinds=True)
    ran = run(tmp_path, backend="local")
    assert ran.returncode == 1, ran.stderr
    assert "of shadow models failed: cells rest on what is left" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "the task failed" not in ran.stderr
    check(tmp_path, places, {("finetune", 2), ("finetune", 3), ("retrained", 4), ("retrained", 5)})
    (tmp_path / "hangs.txt").write_text("")
    ran = run(tmp_path, "--rerun", "failed")
    assert ran.returncode == 0, ran.stderr
    (tmp_path / "undisturbed").mkdir()
    (tmp_path / "plain.toml").rename(tmp_path / "undisturbed" / "audit.toml")
    assert run(tmp_path / "undisturbed").returncode == 0
    assert content(tmp_path / "results") == content(tmp_path / "undisturbed" / "results")
