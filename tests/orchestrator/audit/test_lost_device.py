"""A device that its process loses: nothing is recorded, another process goes on, and three losses blame the stage."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from orchestrator import sweep as command
from orchestrator.bench import models
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.scores import __main__ as scores
from orchestrator.scores import features
from orchestrator.store.store import Store
from tasks.runtime import lost
from tasks.training import strategy
from tasks.training.resident import ResidentData
from tests.support.commands import ROOT, here
from tests.support.shadow_sweeps import TEXT as SHADOWS
from tests.support.sweeps import BAD_METHODS, TINY, changed, started_sweep, sweep, write_config

PLUGIN = (
    BAD_METHODS
    + """
from pathlib import Path
from tasks.runtime import lost
from tasks.training.resident import ResidentData

BROKEN, folder = [], Path(__file__).parent
inputs, answers = ResidentData.inputs, lost.answers

def _fail():
    raise RuntimeError("CUDA error: device-side assert triggered\\nCompile with TORCH_USE_CUDA_DSA")

def _inputs(data, ids):
    return _fail() if BROKEN else inputs(data, ids)

def _breaks():
    BROKEN.append(True)
    _fail()

def _breaks_once():
    if not (folder / "once").exists():
        (folder / "once").touch()
        _breaks()

@register("breaks_one")
@dataclasses.dataclass(frozen=True, kw_only=True)
class BreaksOne(Method):
    def __call__(self, run):
        if str(run.seed) == (folder / "seed.txt").read_text():
            _breaks()

ResidentData.inputs = _inputs
lost.answers = lambda device: not BROKEN and answers(device)
_method("breaks", _breaks)
_method("breaks_once", _breaks_once)
"""
)
"""Once a method has broken the device, nothing that looks at an example works any longer in that process."""
LOST = "device cpu: lost to its process: CUDA error: device-side assert triggered"
SMALL = {'["all", "head"]': '["all"]', '["none", "fgsm", "population"]': '["none"]'}
LEAST = SMALL | {'["finetune", "gradient_ascent"]': '["finetune"]', "num_train = 120": "num_train = 60"}


def run(folder: Path, backend: str, *more: str):
    return started_sweep(
        folder / "audit.toml",
        *("--out", folder / "results", "--backend", backend, *more),
        PYTHONPATH=f"{folder}{os.pathsep}{ROOT}",
    )


def write(folder: Path, text: str) -> None:
    (folder / "breaking.py").write_text(PLUGIN)
    (folder / "audit.toml").write_text(text.replace("[data]", 'plugins = ["breaking"]\n[data]', 1))


def cells(folder: Path) -> dict[str, tuple[str, str | None]]:
    rows = Store(str(folder / "results")).read("cells").to_pylist()
    return {row["method"]: (row["status"], row["error"]) for row in rows}


class Breaking:
    """The device of this process, while `patch` lasts: gone once `fail` is called."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.broken = False
        inputs, answers = ResidentData.inputs, lost.answers
        patch.setattr(
            ResidentData, "inputs", lambda data, ids: self.fail() if self.broken else inputs(data, ids)
        )
        patch.setattr(lost, "answers", lambda device: not self.broken and answers(device))

    def fail(self, *arguments: object, **named: object) -> None:
        self.broken = True
        raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA")


ENDS = f"error: {LOST}; nothing of what ran is recorded, and the same command goes on in another process"


def test_inline_the_command_ends_with_a_line_and_goes_on_when_it_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [write_config(tmp_path, changed(LEAST)), "--out", tmp_path / "results", "--no-report"]
    with monkeypatch.context() as patch:
        patch.setattr(models, "unlearn", Breaking(patch).fail)
        ran = sweep(*words)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.splitlines()[-1] == ENDS
    store = Store(str(tmp_path / "results"))
    assert "failed" not in [row["status"] for t in ("cells", "models") for row in store.read(t).to_pylist()]
    ran = sweep(*words)
    assert ran.returncode == 0, ran.stderr
    assert {status for status, _ in cells(tmp_path).values()} == {"finished"}, ran.stderr
    monkeypatch.setattr(features, "score", Breaking(monkeypatch).fail)
    asked = "--architecture", "net", "--kinds", "features", "--output", tmp_path / "features.npz"
    ran = here(scores.main, tmp_path / "results", *asked)
    assert (ran.returncode, ran.stderr) == (2, f"{ENDS}\n")


@pytest.mark.parametrize(("text", "where", "name"), [(TINY, models, "train"), (SHADOWS, strategy, "train")])
def test_a_probe_that_loses_the_device_ends_with_a_line(text, where, name, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(where, name, Breaking(monkeypatch).fail)
    (tmp_path / "audit.toml").write_text(text)
    ran = here(command.main, tmp_path / "audit.toml", "--out", tmp_path / "results", "--dry-run", "--probe")
    assert (ran.returncode, ran.stderr) == (2, f"{ENDS}\n")


def test_work_begins_on_a_device_that_answers_alone(tmp_path, monkeypatch) -> None:
    """One that is gone for good would be lost by each process, and each stage be blamed after three."""
    monkeypatch.setattr(lost, "answers", lambda device: False)
    ran = sweep(write_config(tmp_path, changed(LEAST)), "--out", tmp_path / "results")
    assert ran.returncode == 2
    place = f"device: cpu of {platform.node()}"
    assert ran.stderr.splitlines()[-1] == f"error: {place} does not answer; use another one, or reset it"
    assert not Store(str(tmp_path / "results")).keys("models")


@pytest.mark.slow
def test_on_ray_another_process_goes_on_and_three_losses_blame_the_cell(tmp_path: Path) -> None:
    methods = {'["finetune", "gradient_ascent"]': '["breaks_once", "breaks", "finetune"]'}
    write(tmp_path, changed(SMALL | methods))
    ran = run(tmp_path, "local", "--set", "execution.hosts=2")
    assert ran.returncode == 1, ran.stderr
    found = cells(tmp_path)
    assert found.pop("breaks") == ("failed", f"3 hosts ended while they ran this: {LOST}")
    assert {status for status, _ in found.values()} == {"finished"}
    assert (tmp_path / "once").exists()


@pytest.mark.slow
def test_on_ray_three_losses_blame_the_run_of_a_shadow_model(tmp_path: Path) -> None:
    text = SHADOWS.replace("epochs = 12", "epochs = 1")
    text = text.replace('["u_lira_g1", "u_lira_g2", "retain_harm"]', '["u_lira_g1"]')
    (tmp_path / "plain.toml").write_text(text)
    layout = make_plan(load(str(tmp_path / "plain.toml"))).shadow_sets["net"].layout
    (tmp_path / "seed.txt").write_text(str(layout.unlearn_seed(2, "random:fraction=0.3", 0)))
    write(tmp_path, text.replace('["finetune"]', '["breaks_one", "finetune"]'))
    ran = run(tmp_path, "local")
    assert ran.returncode == 1, ran.stderr
    assert {status for status, _ in cells(tmp_path).values()} == {"finished"}, ran.stderr
    rows = Store(str(tmp_path / "results")).read("models").to_pylist()
    failed = {(m["method"], m["shadow"]): m["error"] for m in rows if m["status"] == "failed"}
    assert failed == {("breaks_one", 2): f"DeviceLost: {LOST}"}
