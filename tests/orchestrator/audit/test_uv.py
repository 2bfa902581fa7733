"""The real `uv run`; tests/orchestrator/audit/test_sweep.py has a sweep below what looks like it to Ray."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import ROOT
from tests.support.sweeps import SYNTHETIC_DATA, content, sweep, write_config

DATA = 'name = "npz"\noptions = { path = "data.npz" }\n'
SMALL = ("--only", "method=finetune,scope=head,attack=none", "--no-report")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv (pip install uv)")
def test_relative_names_are_those_of_the_shell_below_uv_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    images = rng.integers(0, 255, (60, 1, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    write_config(tmp_path, **{SYNTHETIC_DATA: DATA})
    words = ["uv", "run", "--no-project", "--offline", "--python", sys.executable, "python"]
    words += ["-m", "orchestrator.sweep", "audit.toml", "--out", "below", "--backend", "local", *SMALL]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert ran.returncode == 0, ran.stderr
    assert sweep(tmp_path / "audit.toml", "--out", tmp_path / "alone", *SMALL[:2]).returncode == 0
    assert content(tmp_path / "below") == content(tmp_path / "alone")
