"""Which lines a test file runs and which SQL it opens: recorded in a fork, kept while tests and sources stay."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coverage import Coverage

NO_TESTS = 5
"""Exit code of pytest where every test is deselected: nothing is covered."""


@dataclass
class Record:
    """What was seen while the tests of a file ran on the code as it is."""

    lines: dict[str, list[int]] = field(default_factory=dict)
    """Of each file of the tree; none of SQL that was opened."""
    digests: dict[str, str] = field(default_factory=dict)
    """Of the same files."""
    seconds: float = 0.0
    passed: bool = False

    def covers(self, path: str, first: int, last: int) -> bool:
        """Whether the tests pass, and run a line of a range, or open the SQL."""
        lines = self.lines.get(path)
        return (
            self.passed
            and lines is not None
            and (path.endswith(".sql") or any(first <= n <= last for n in lines))
        )

    def holds(self, root: Path, test: str, path: str) -> bool:
        """Whether the tests were green, and the file, they and what they use under tests/ are what they were."""
        watched = {test, path, *(name for name in self.digests if name.startswith("tests/"))}
        return self.passed and all(
            digest(root / name) == self.digests[name] for name in watched if name in self.digests
        )


def digest(file: Path) -> str:
    """Of the bytes of a file; empty where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


def recording(tree: Path, test: str, kept: Path) -> Callable[[Callable[[], int]], int]:
    """What runs tests and writes their record into a file."""

    def around(run: Callable[[], int]) -> int:
        prefix = f"{tree}/"
        seen: dict[str, set[int]] = {test: set()}
        _note_sql(prefix, seen)
        tracer = _watched(prefix)
        started = time.monotonic()
        with tracer.collect():
            code = run()
        data = tracer.get_data()
        for name in data.measured_files():
            seen[name.removeprefix(prefix)] = set(data.lines(name) or ())
        if code == NO_TESTS:
            seen = {test: set()}
        record = Record(
            {path: sorted(lines) for path, lines in sorted(seen.items())},
            {path: digest(tree / path) for path in sorted(seen)},
            time.monotonic() - started,
            code in (0, NO_TESTS),
        )
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(vars(record)), encoding="utf-8")
        return code

    return around


def load(kept: Path) -> Record | None:
    """A record that was written, if there is one."""
    return Record(**json.loads(kept.read_text(encoding="utf-8"))) if kept.is_file() else None


def _watched(prefix: str) -> Coverage:
    """A tracer, not yet begun, of the lines that all threads run below a folder."""
    tracer = Coverage(data_file=None, config_file=False, include=[f"{prefix}*"], concurrency="thread")
    tracer.set_option("run:disable_warnings", ["no-data-collected"])
    return tracer


def _note_sql(prefix: str, seen: dict[str, set[int]]) -> None:
    """Note SQL files that are opened below a folder."""

    def opened(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(".sql") and str(arguments[0]).startswith(prefix):
            seen.setdefault(str(arguments[0]).removeprefix(prefix), set())

    sys.addaudithook(opened)
