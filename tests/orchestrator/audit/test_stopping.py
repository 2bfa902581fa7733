"""Signals while shadow models are trained: drain, stop at once, and a state that the same command completes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator import sweep
from tests.chaos.harness import SHADOWS, content
from tests.chaos.processes import left_after, start
from tests.support.commands import here


def prepared(folder: Path, backend: str) -> list[str]:
    """Write the sweep; the words of its command."""
    config = folder / "audit.toml"
    config.write_text(SHADOWS)
    words = [str(config), "--out", str(folder / "results"), "--backend", backend]
    return [*words, "--display", "plain", "--no-report"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    ran = here(sweep.main, *prepared(folder, "inline"))
    assert ran.returncode == 0, ran.stderr
    return content(folder / "results")


@pytest.mark.parametrize("backend", ["inline", pytest.param("local", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("number", "times"),
    [
        (signal.SIGINT, 1),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
        (signal.SIGTERM, 1),
        pytest.param(signal.SIGHUP, 1, marks=pytest.mark.slow),
    ],
    ids=["Ctrl-C", "Ctrl-C twice", "SIGTERM", "terminal closed"],
)
def test_a_signal_among_shadow_models(undisturbed, tmp_path, backend, number, times):
    mark = f"stopping-{os.getpid()}-{time.monotonic_ns()}"
    words = [sys.executable, "-m", "orchestrator.sweep", *prepared(tmp_path, backend)]
    with start(words, mark, stderr=subprocess.PIPE) as run:
        results = tmp_path / "results"
        while run.poll() is None and len(list(results.rglob("observations/**/*.arrow"))) < 5:
            time.sleep(0.02)
        for _ in range(times):
            # A scheduler's SIGTERM to all of them ends the raylet too: one line and 2, not a drain.
            (os.kill if number == signal.SIGTERM else os.killpg)(run.pid, number)
            time.sleep(0.3)
        _, errors = run.communicate(timeout=200)
    # A second one that comes while Python ends is Python's own; shells report it as 130 too.
    assert run.returncode in ({130} if times == 1 else {130, -number}), errors
    assert "Traceback" not in errors
    assert "cells: 9 to do" not in errors
    assert left_after(mark, 60) == []
    assert times == 2 or not [p for p in results.rglob(".*") if p.is_file()]
    done = len(list(results.rglob("observations/**/*.arrow")))
    assert 5 <= done < 64
    again = here(sweep.main, *prepared(tmp_path, "inline"))
    assert again.returncode == 0, again.stderr
    assert content(results) == undisturbed
