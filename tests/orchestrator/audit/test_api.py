"""`from orchestrator import run`: what it returns, refuses and leaves behind, in scripts, threads and twice."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator import run
from orchestrator.audit.outcome import Outcome
from orchestrator.config.settings import SweepConfig, load
from tasks.errors import AuditError
from tests.support.commands import ROOT
from tests.support.sweeps import write_config

PART = {"only": "method=finetune,scope=head,attack=none"}
"""One audited cell and its references: four cells."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WAITS = """
import dataclasses, pathlib, time
from tasks.unlearn.base import Method, register

@register("waits")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Waits(Method):
    seconds: float = 0.5

    def __call__(self, run):
        pathlib.Path("begun").touch()
        time.sleep(self.seconds)
"""
SCRIPT = """
import signal
from orchestrator import run

try:
    outcome = run("audit.toml", out="results", only="scope=all,attack=none")
    print("returned", outcome.stopped, outcome.finished)
except KeyboardInterrupt:
    print("interrupted")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
"""As a user would write it, without `if __name__ == "__main__"`."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A part of the tiny sweep, run in this process; only to be read."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(write_config(folder), out=folder / "results", **PART)


def modified(folder: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.arrow")}


def test_an_outcome_holds_the_cells_of_the_plan_in_its_order(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    assert (outcome.finished, outcome.stopped, outcome.failed_shadows) == (True, False, 0)
    assert outcome.cells["cell_id"].to_pylist() == [cell.cell_id for cell in outcome.plan.cells]
    assert sorted(outcome.cells["role"].to_pylist()) == ["audited", "ceiling", "noise_floor", "reference"]
    assert len(outcome.failed) == 0
    assert outcome.out == str(folder / "results")
    assert outcome.seconds > 0
    assert "finetune" in outcome.results.query("leaderboard")["method"].to_pylist()
    assert outcome.results is outcome.results


def test_a_second_call_computes_nothing_and_another_part_is_added(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    first = run(config, out=tmp_path / "results", **PART)
    before = modified(tmp_path)
    assert run(config, out=tmp_path / "results", **PART).cells.equals(first.cells)
    assert modified(tmp_path) == before
    more = run(config, out=tmp_path / "results", only="method=finetune,scope=all,attack=none")
    assert more.finished
    assert set(more.cells["scope"].to_pylist()) == {"all"}
    both = more.results.table("cells")["cell_id"].to_pylist()
    assert set(both) == {*first.cells["cell_id"].to_pylist(), *more.cells["cell_id"].to_pylist()}
    # Rows of other calls are none of this one's.
    assert len(more.cells) < len(both)


def test_margins_that_change_after_the_fact_compute_nothing_and_are_said(
    finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    root = shutil.copytree(finished[0] / "results", tmp_path / "results")
    outcome = run(finished[0] / "audit.toml", out=root, set={"answers.margins.accuracy": 0.1}, **PART)
    assert outcome.cells.equals(finished[1].cells)
    sql = "select distinct margin, declared_after from declared where metric = 'accuracy'"
    assert outcome.results.sql(sql).to_pylist() == [{"margin": 0.1, "declared_after": True}]
    assert finished[1].results.sql(sql).to_pylist() == [{"margin": 0.02, "declared_after": False}]


def test_a_configuration_is_as_good_as_its_file(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    config = load(str(finished[0] / "audit.toml"))
    assert isinstance(config, SweepConfig)
    changed = {"axes.scope": ("head",), "axes.attack": ["none"], "axes.method": ["finetune"]}
    outcome = run(config, out=str(tmp_path), set=changed)
    assert outcome.finished
    assert outcome.cells["cell_id"].equals(finished[1].cells["cell_id"])
    assert config.axes.scope == ("all", "head")


def test_a_preset_made_tiny(tmp_path: Path) -> None:
    changes = {
        "axes.architecture": ["resnet_small"],
        "axes.method": ["finetune"],
        "axes.scope": ["head"],
        "axes.attack": ["none"],
        "axes.forget_set": ["random"],
        "architectures.resnet_small.options.channels": [4, 4, 4],
        "architectures.resnet_small.training.epochs": 1,
        "methods.finetune.epochs": 1,
        "evaluation.bootstrap": 20,
    }
    outcome = run("quick", out=tmp_path, backend="inline", set={**changes, "axes.seed": [3]}, limit=1)
    assert outcome.finished
    assert set(outcome.cells["seed"].to_pylist()) == {3}
    assert outcome.plan.config.methods["finetune"] == {"batch_size": 64, "lr": 0.01675, "epochs": 1}


def test_a_failing_cell_is_listed_and_computed_again_when_asked(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "results"
    part = {
        "only": "method=gradient_ascent,scope=all,attack=none",
        "set": {"methods.gradient_ascent.lr": 1e30, "methods.gradient_ascent.epochs": 3},
    }
    outcome = run(config, out=out, **part)
    assert not outcome.finished
    assert repr(outcome) == f"<Outcome: 4 of 4 cells measured, 1 failed, in {out}>"
    assert len(outcome.cells) == 4
    (row,) = outcome.failed.to_pylist()
    assert (row["method"], row["error_type"]) == ("gradient_ascent", "Diverged")
    before = modified(tmp_path)
    assert len(run(config, out=out, **part).failed) == 1
    assert modified(tmp_path) == before
    run(config, out=out, rerun="failed", **part)
    assert modified(tmp_path) != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "quik"}, "Did you mean 'quick'"),
        ({"set": {"axes.method": ["scrubb"]}}, "Did you mean 'scrub'"),
        ({"set": {"axes.seeds": [0]}}, "no key 'seeds'"),
        ({"set": {"axes.seed": ["x"]}}, r"axes.seed\[0\]: expected int, got 'x'"),
        ({"only": "method=nothing"}, "no method 'nothing'"),
        ({"backend": "ray"}, "no value 'ray'"),
        ({"rerun": "every"}, "rerun: no value 'every'"),
        ({"display": "loud"}, "display: no value 'loud'"),
        ({"limit": -1}, "limit: expected 0 or more, got -1"),
        ({"tune": -1}, "trials: expected 0 or more, got -1"),
        ({"out": "/proc/results"}, "/proc"),
        ({"out": None}, "out: expected str or Path, got None"),
        ({"out": ""}, "out: expected a results directory, got ''"),
        ({"source": {"name": "mine"}}, "source: expected str or Path or SweepConfig, got {'name'"),
        ({"set": ["axes.seed=0"]}, r"set: expected Mapping, got \['axes.seed=0'\]"),
        ({"set": {3: [0]}}, "no key '3'"),
        ({"only": {"method": "finetune"}}, "only: expected str, got {'method'"),
        ({"limit": "1"}, "limit: expected int, got '1'"),
        ({"set": {"plugins": ["no_such_module"]}}, "cannot import 'no_such_module'"),
    ],
)
def test_bad_input_raises_one_line(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    asked = {"source": write_config(tmp_path), "out": tmp_path / "results"} | arguments
    with pytest.raises(AuditError, match=message) as caught:
        run(asked.pop("source"), **asked)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results" / "cells").exists()


def test_what_the_process_had_is_there_afterwards(tmp_path: Path) -> None:
    def mine(number: int, frame: Any) -> None: ...

    def state() -> tuple[Any, ...]:
        handlers = [signal.getsignal(number) for number in SIGNALS]
        float32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.conv.fp32_precision
        return handlers, torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), float32

    before, threads = signal.signal(signal.SIGTERM, mine), torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(False)
        mine_before = state()
        run(write_config(tmp_path), out=tmp_path / "results", **PART)
        assert state() == mine_before
    finally:
        signal.signal(signal.SIGTERM, before)
        torch.set_num_threads(threads)


def test_a_thread_is_stopped_by_its_event_and_goes_on(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    config, stop, found = write_config(tmp_path), threading.Event(), []

    def work() -> None:
        found.append(run(config, out=tmp_path / "results", stop=stop, **PART))

    def in_a_thread() -> Outcome:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found.pop()

    stop.set()
    outcome = in_a_thread()
    assert (outcome.stopped, outcome.finished, len(outcome.cells)) == (True, False, 0)
    stop.clear()
    outcome = in_a_thread()
    assert (outcome.stopped, outcome.finished) == (False, True)
    assert outcome.cells["cell_id"].equals(finished[1].cells["cell_id"])


def script(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A user's script in a folder of its own, whose method has begun when this returns."""
    (folder / "waiting.py").write_text(WAITS)
    (folder / "script.py").write_text(SCRIPT)
    changes = {
        'name = "tiny"': 'name = "tiny"\nplugins = ["waiting"]',
        '["finetune", "gradient_ascent"]': '["waits", "finetune"]',
        "[methods.finetune]": f"[methods.waits]\nseconds = {seconds}\n[methods.finetune]",
    }
    write_config(folder, **changes)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    started = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while started.poll() is None and not (folder / "begun").exists():
        time.sleep(0.02)
    return started


def test_ctrl_c_lets_a_script_finish_what_runs(tmp_path: Path) -> None:
    with script(tmp_path, seconds=2.0) as started:
        started.send_signal(signal.SIGINT)
        said, errors = started.communicate(timeout=120)
    assert (started.returncode, said) == (0, "returned True False\nTrue\n"), errors
    assert len(list((tmp_path / "results" / "cells").rglob("*.arrow"))) >= 1


def test_a_second_ctrl_c_stops_a_script_at_once(tmp_path: Path) -> None:
    with script(tmp_path, seconds=300.0) as started:
        started.send_signal(signal.SIGINT)
        time.sleep(0.5)
        started.send_signal(signal.SIGINT)
        said, errors = started.communicate(timeout=60)
    assert (started.returncode, said) == (0, "interrupted\nTrue\n"), errors


def test_outcomes_are_frozen(finished: tuple[Path, Outcome]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        finished[1].stopped = True  # type: ignore[misc]


RAY = """
import signal, sys, threading
from orchestrator import run
from tasks.errors import AuditError

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
part = {"backend": "local", "only": "method=finetune,scope=head,attack=none", "set": {"execution.hosts": 1}}
handlers = [signal.getsignal(number) for number in SIGNALS]
first, second = run("audit.toml", out="first", **part), []
thread = threading.Thread(target=lambda: second.append(run("audit.toml", out="second", **part)))
thread.start()
thread.join()
assert first.finished and second[0].finished
assert first.cells["cell_id"].equals(second[0].cells["cell_id"])
assert [signal.getsignal(number) for number in SIGNALS] == handlers

import ray

assert not ray.is_initialized()
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
try:
    run("audit.toml", out="third", **part)
except AuditError as error:
    print(error)
assert ray.is_initialized()
"""


@pytest.mark.slow
def test_a_private_ray_twice_in_one_process_also_in_a_thread_and_never_anothers(tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "script.py").write_text(RAY)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "expected a process without a connection to Ray" in ran.stdout


def test_a_ray_imported_too_early_is_told(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), str(tmp_path / "results")
    program = f"import ray\nfrom orchestrator import run\nrun({str(config)!r}, out={out!r}, backend='local')"
    environment = {key: value for key, value in os.environ.items() if key != "RAY_AUTH_MODE"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "AuditError: backend local: Ray was imported before the first run on it;" in ran.stderr
