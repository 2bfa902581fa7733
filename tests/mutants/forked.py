"""Tests run in a fork of this process, which holds the large libraries already, but nothing of this project."""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

LARGE = (
    "duckdb",
    "hypothesis",
    "numpy",
    "pyarrow.dataset",
    "scipy.stats",
    "sklearn.svm",
    "timm",
    "torch",
)
"""Not Ray, which few tests need."""
OURS = ("orchestrator", "tasks", "tests", "queries")
OPTIONS = (
    "-x",
    "-q",
    "-m",
    "not slow",
    "-o",
    "addopts=",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "--strict-markers",
    "--import-mode=importlib",
    "--hypothesis-seed=0",
    "--tb=line",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",  # of plugins that the fork has imported already
)


LATE = 124
"""Exit code of tests that ran past their time."""
LONGEST = 1.0
"""Seconds between two questions that count at most: where all of this was halted, nothing ran past its time."""


def import_large() -> None:
    """Import what every fork would import."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in LARGE:
        importlib.import_module(name)


@dataclass
class Child:
    """A fork that runs tests."""

    pid: int
    left: float
    """Seconds."""
    folder: Path
    asked: float = field(default_factory=time.monotonic)
    """When it was last asked whether it has ended."""

    def ended(self) -> int | None:
        """The exit code of pytest, 1 where the fork died, `LATE` where it ran past its time; None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self._clear()
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
        now = time.monotonic()
        self.left -= min(now - self.asked, LONGEST)
        self.asked = now
        if self.left > 0:
            return None
        self.end()
        return LATE

    def end(self) -> None:
        """Kill it while it runs."""
        self._clear()
        os.waitpid(self.pid, 0)

    def _clear(self) -> None:
        """End what it started, and remove what it wrote."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def fork(
    tree: Path,
    tests: Sequence[str],
    seconds: float,
    log: Path,
    plugins: Sequence[object] = (),
    around: Callable[[Callable[[], int]], int] | None = None,
) -> Child:
    """Start tests in a tree, under plugins of pytest.

    `around`, if given, is called in the fork with the function that runs them.
    """
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    sys.stdout.flush()
    if pid := os.fork():
        return Child(pid, seconds, folder)
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _settle(tree, folder, log)
        options = [*OPTIONS, f"--rootdir={tree}", f"--basetemp={folder}/pytest"]
        run = functools.partial(pytest.main, [*options, *tests], [*plugins])
        code = int(around(run) if around else run())
    except BaseException:  # nothing of the parent's may run in a fork
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@dataclass
class NearestFirst:
    """Plugin that runs the tests of each file whose ids hold a name before the others."""

    name: str

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in items))}
        items.sort(key=lambda item: (place[item.path], self.name not in item.name))


def _settle(tree: Path, folder: Path, log: Path) -> None:
    """Make a tree the working directory and the home of our modules, in this process and in those that it starts."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.chdir(tree)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [
        str(tree),
        *(entry for entry in sys.path if entry and not (Path(entry) / "orchestrator").is_dir()),
    ]
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = False
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(folder)}
    tempfile.tempdir = None
