"""Commands in the surroundings that people have: closed and full streams, a module that hides ours, python -OO."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.fields import class_doc
from tasks.unlearn.base import methods

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def shell(line: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", line.replace("python", sys.executable)]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("python -m orchestrator >&-", 0, ""),
        ("python -m orchestrator > /dev/full", 2, "error: stdout: No space left on device\n"),
        ("python -m orchestrator wrong 2>&-", 2, ""),
        ("python -m orchestrator wrong 2> /dev/full", 2, ""),
    ],
)
def test_streams_that_are_closed_or_full(line: str, code: int, error: str) -> None:
    ran = shell(line)
    assert (ran.returncode, ran.stderr) == (code, error)


@pytest.mark.parametrize("name", ["tasks.py", "tasks/__init__.py"])
def test_a_module_that_hides_ours_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    told = f"{tmp_path}/{name} hides Lethe's package 'tasks'; rename it, or run from another directory\n"
    ran = shell("python -m orchestrator.query --help", tmp_path)
    assert (ran.returncode, ran.stderr) == (2, f"error: {told}")
    ran = shell("python -c 'import orchestrator'", tmp_path)
    assert ran.stderr.endswith(f"ImportError: {told}")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("random.py", "hides Python's module 'random'"),
        ("secrets/__init__.py", "hides Python's module 'secrets'"),
        ("torch.py", "hides the package 'torch', which Lethe needs"),
    ],
)
def test_a_file_that_hides_what_is_needed_is_named(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("X = 1\n")
    ran = shell("python -m orchestrator.sweep quick --dry-run", tmp_path)
    line = f"error: {tmp_path}/{name} {told}; rename it, or run from another directory\n"
    assert (ran.returncode, ran.stderr) == (2, line)


def test_a_file_that_hides_what_nobody_needs_is_no_trouble(tmp_path: Path) -> None:
    for name in ("turtle.py", "test.py", "queries.py"):
        (tmp_path / name).write_text("raise RuntimeError('imported')\n")
    (tmp_path / "numpy").mkdir()  # without code it hides nothing
    ran = shell("python -m orchestrator.query --list", tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_docstrings_commands_say_the_same() -> None:
    plain, optimised = (
        shell(
            f"python {flag} -m orchestrator.status --help; python {flag} -m orchestrator.sweep --describe methods"
        )
        for flag in ("", "-OO")
    )
    assert optimised.returncode == 0, optimised.stderr
    assert optimised.stdout == plain.stdout
    assert len(plain.stdout.splitlines()) > 20


@pytest.mark.parametrize("name", methods.names())
def test_docstrings_are_read_from_the_source(name: str) -> None:
    cls = methods.get(name)
    assert class_doc(cls) == inspect.getdoc(cls)
