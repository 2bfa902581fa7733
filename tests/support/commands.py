"""Commands of Lethe, run in the process of the tests or in one of their own."""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import run_command

ROOT = Path(__file__).parents[2]


def here(
    main: Callable[[list[str]], int | None], *words: object, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which has imported what it needs: exit code, stdout and stderr as of its own.

    For what needs no process: no signal, no Ray, no plug-in from PYTHONPATH, nothing said at exit. A bug raises.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    arguments = [*map(str, words)]
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command(lambda: main(arguments))
    for stream in (out, err):
        stream.seek(0)  # which flushes
    return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def started(
    module: str, *words: object, timeout: float = 240, folder: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` to its end, with some more variables in its environment."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )


def ran_script(folder: Path, script: str, *words: str) -> None:
    """Run a file of Python as a program in this process, which has imported what it needs."""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *words])
        runpy.run_path(script, run_name="__main__")
