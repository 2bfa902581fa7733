"""Which lines a test file runs and which SQL it opens: recorded in a fork, kept while tests and sources stay."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage

NO_TESTS = 5
"""Exit code of pytest where every test is deselected: nothing is covered."""
FEW = 3
"""So many tests are remembered of each line, the quickest that run it."""


@dataclass
class Record:
    """What was seen while the tests of a file ran on the code as it is."""

    lines: dict[str, list[int]] = field(default_factory=dict)
    """Of each file of the tree; none of SQL that was opened."""
    digests: dict[str, str] = field(default_factory=dict)
    """Of the same files."""
    tests: list[str] = field(default_factory=list)
    """Their ids, the quickest first."""
    quick: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Places in `tests` of the few that run a line of a file; of SQL, that open it: line 0."""
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

    def quickest(self, path: str, first: int, last: int) -> list[str]:
        """A few tests that may notice before all the others: of those that run a line of a range the quickest.

        Of SQL those that are named after the file, before others that open it.
        """
        by_line, sql = self.quick.get(path, {}), path.endswith(".sql")
        several = range(1) if sql else range(first, last + 1)
        named = [place for place, test in enumerate(self.tests) if sql and Path(path).stem in _own_name(test)]
        found = {place for line in several for place in by_line.get(str(line), ())}
        return [self.tests[place] for place in dict.fromkeys([*named, *sorted(found)])][:FEW]

    def holds(self, root: Path, test: str, path: str) -> bool:
        """Whether the tests were green, and the file, they and what they use under tests/ are what they were."""
        watched = {test, path, *(name for name in self.digests if name.startswith("tests/"))}
        return self.passed and all(
            digest(root / name) == self.digests[name] for name in watched if name in self.digests
        )


def _own_name(test: str) -> str:
    """A test's id without its file."""
    return test.partition("::")[2]


def digest(file: Path) -> str:
    """Of the bytes of a file; empty where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


@dataclass(eq=False)  # pytest wants plug-ins with a hash
class Recorder:
    """Watches the tests of one file in a copy of the tree, and writes their record into a file."""

    tree: Path
    test: str
    kept: Path
    opened: dict[str, set[str]] = field(default_factory=dict)
    """Tests that open a file of SQL."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each test as it ran."""
    fixtures: dict[str, list[str]] = field(default_factory=dict)
    """Of each test."""
    shared: dict[str, float] = field(default_factory=dict)
    """Seconds of each fixture that serves several tests: whichever of them runs alone pays for it."""
    running: str = ""
    tracer: Coverage = field(init=False)

    def __post_init__(self) -> None:
        self.prefix = f"{self.tree}/"

    def around(self, run: Callable[[], int]) -> int:
        """Run the tests; to be called in a fork."""
        self.tracer = Coverage(
            data_file=None, config_file=False, include=[f"{self.prefix}*"], concurrency="thread"
        )
        self.tracer.set_option("run:disable_warnings", ["no-data-collected"])
        sys.addaudithook(self._opened)
        started = time.monotonic()
        with self.tracer.collect():
            code = run()
        seconds = time.monotonic() - started
        record = self._record() if code != NO_TESTS else Record({self.test: []})
        record.digests = {path: digest(self.tree / path) for path in record.lines}
        record.seconds, record.passed = seconds, code in (0, NO_TESTS)
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.kept.write_text(json.dumps(vars(record)), encoding="utf-8")
        return code

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Say which test runs what follows."""
        self.running, started = item.nodeid, time.monotonic()
        self.fixtures[item.nodeid] = list(getattr(item, "fixturenames", ()))
        self.tracer.switch_context(item.nodeid)
        result = yield
        self.seconds[item.nodeid] = time.monotonic() - started
        return result  # as wrappers do

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Note what a fixture takes that is made once."""
        started = time.monotonic()
        result = yield
        if fixturedef.scope != "function":
            self.shared[fixturedef.argname] = time.monotonic() - started
        return result

    def _alone(self, test: str) -> float:
        """Seconds of a test that runs alone, or more."""
        return self.seconds[test] + sum(self.shared.get(name, 0.0) for name in self.fixtures[test])

    def _opened(self, event: str, arguments: tuple[Any, ...]) -> None:
        if (
            event == "open"
            and str(path := arguments[0]).endswith(".sql")
            and str(path).startswith(self.prefix)
        ):
            self.opened.setdefault(str(path).removeprefix(self.prefix), set()).add(self.running)

    def _record(self) -> Record:
        record = Record({self.test: []}, tests=sorted(self.seconds, key=self._alone))
        place = {test: number for number, test in enumerate(record.tests)}
        ran: dict[str, dict[int, Iterable[str]]] = {path: {0: some} for path, some in self.opened.items()}
        data = self.tracer.get_data()
        for name in data.measured_files():
            path = name.removeprefix(self.prefix)
            ran[path] = dict(data.contexts_by_lineno(name))
            record.lines[path] = sorted(data.lines(name) or ())
        for path, by_line in ran.items():
            record.lines.setdefault(path, [])
            if not path.startswith("tests/"):
                record.quick[path] = {
                    str(line): sorted(place[test] for test in some if test in place)[:FEW]
                    for line, some in by_line.items()
                }
        return record


def load(kept: Path) -> Record | None:
    """A record that was written, if there is one."""
    return Record(**json.loads(kept.read_text(encoding="utf-8"))) if kept.is_file() else None
