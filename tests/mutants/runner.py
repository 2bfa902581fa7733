"""Judging mutants: which tests cover each, and whether they notice."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.mutants.areas import Area
from tests.mutants.equivalents import Key
from tests.mutants.forked import LATE, Child, NearestFirst, fork
from tests.mutants.mutant import Mutant
from tests.mutants.recorder import FEW, NO_TESTS, Record, Recorder, load
from tests.mutants.tree import copy, mutated

Task = TypeVar("Task")
FAILED = 1
"""Exit code of pytest where a test failed; others may say that a test of a few is not to be found."""
RECORDING_SECONDS = 900.0
"""Limit for one test file, slowed down by being watched."""
SPARE = 3.0
"""Tests of a mutant may take so many times what they took, and a minute: then it hangs, and is killed."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    outcome: str
    """killed, survived, uncovered (no test of the area runs the line: it survives) or equivalent."""
    reason: str = ""
    """Of an equivalent one, or of one that was killed by no test."""


def quickest(mutant: Mutant, covering: Mapping[str, Record]) -> list[str]:
    """A few tests of the nearest files that run the line: where they notice, no other has to run."""
    edit = mutant.edit
    return [
        test
        for record in [*covering.values()][:FEW]
        for test in record.quickest(mutant.path, edit.first, edit.last)
    ]


@dataclass
class Runner:
    """Copies of a working tree, and the records of its tests."""

    root: Path
    folder: Path
    """For the copies: temporary."""
    processes: int = 2
    kept: Path = field(init=False)
    """Folder of the records, in the working tree."""
    trees: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        self.kept = self.root / ".mutants"
        places = [self.folder.resolve() / f"tree{number}" for number in range(self.processes)]
        first = copy(self.root, places[0])
        self.trees = [first, *(shutil.copytree(first, other) for other in places[1:])]

    def judge(self, area: Area, mutants: Iterable[Mutant], judged: Mapping[Key, str]) -> Iterator[Verdict]:
        """A verdict for each mutant, as they come."""
        open_ = []
        for mutant in mutants:
            if mutant.key in judged:
                yield Verdict(mutant, "equivalent", judged[mutant.key])
            else:
                open_.append(mutant)
        tests = area.test_files(self.trees[0])
        self.record(tests, {mutant.path for mutant in open_})
        covering = {mutant.key: self.covering(area, tests, mutant) for mutant in open_}

        def begin(tree: Path, mutant: Mutant, stack: ExitStack, tests: Sequence[str]) -> Child:
            stack.enter_context(mutated(tree, mutant))
            seconds = SPARE * sum(record.seconds for record in covering[mutant.key].values()) + 60
            nearest = NearestFirst(Path(mutant.path).stem)
            return fork(tree, tests, seconds, tree.with_suffix(".log"), [nearest])

        def few(tree: Path, mutant: Mutant, stack: ExitStack) -> Child:
            return begin(tree, mutant, stack, quickest(mutant, covering[mutant.key]))

        def whole(tree: Path, mutant: Mutant, stack: ExitStack) -> Child:
            return begin(tree, mutant, stack, [*covering[mutant.key]])

        yield from (Verdict(mutant, "uncovered") for mutant in open_ if not covering[mutant.key])
        open_ = [mutant for mutant in open_ if covering[mutant.key]]
        for mutant, code in self._each([m for m in open_ if quickest(m, covering[m.key])], few):
            if code == FAILED:
                open_.remove(mutant)
                yield Verdict(mutant, "killed")
        for mutant, code in self._each(open_, whole):
            late = "ran past its time" if code == LATE else ""
            yield Verdict(mutant, "survived" if code == 0 else "killed", late)

    def record(self, tests: Iterable[str], paths: Iterable[str]) -> None:
        """Record the test files whose records are missing or outdated for one of some source files."""
        stale = [
            test
            for test in tests
            if (record := load(self._file(test))) is None
            or not all(record.holds(self.trees[0], test, path) for path in paths)
        ]

        def begin(tree: Path, test: str, stack: ExitStack) -> Child:
            self._file(test).unlink(missing_ok=True)
            log = self._file(test).with_suffix(".log")
            log.parent.mkdir(parents=True, exist_ok=True)
            recorder = Recorder(tree, test, self._file(test))
            return fork(tree, [test], RECORDING_SECONDS, log, [recorder], recorder.around)

        for test, code in self._each(stale, begin):
            if code not in (0, NO_TESTS):
                print(
                    f"{test} is red on the code as it is: see {self._file(test).with_suffix('.log')}",
                    flush=True,
                )

    def covering(self, area: Area, tests: Iterable[str], mutant: Mutant) -> dict[str, Record]:
        """The test files that cover a mutant: first those of its name, then the nearest, of these the quickest."""
        found = {test: record for test in tests if (record := load(self._file(test))) is not None}
        stem = Path(mutant.path).stem
        edit = mutant.edit
        covering = [
            test for test, record in found.items() if record.covers(mutant.path, edit.first, edit.last)
        ]
        if area.named:
            covering = [test for test in covering if self._names(found[test], stem)]
        covering.sort(key=lambda test: (stem not in test, area.distance(test), found[test].seconds))
        return {test: found[test] for test in covering}

    def _names(self, record: Record, stem: str) -> bool:
        """Whether a test file, or one under tests/ that it uses, has a word in its text."""
        ours = [self.trees[0] / path for path in record.lines if path.startswith("tests/")]
        return any(re.search(rf"\b{stem}\b", file.read_text(encoding="utf-8")) for file in ours)

    def _file(self, test: str) -> Path:
        return self.kept / f"{test.removesuffix('.py').replace('/', '.')}.json"

    def _each(
        self, tasks: list[Task], begin: Callable[[Path, Task, ExitStack], Child]
    ) -> Iterator[tuple[Task, int]]:
        """Each task with the exit code of the tests that it began, one at a time in each tree."""
        free, waiting = [*self.trees], [*reversed(tasks)]
        running: list[tuple[Task, Path, Child, ExitStack]] = []
        try:
            while waiting or running:
                while waiting and free:
                    task, tree, stack = waiting.pop(), free.pop(), ExitStack()
                    running.append((task, tree, begin(tree, task, stack), stack))
                time.sleep(0.02)
                for entry in [*running]:
                    task, tree, child, stack = entry
                    if (code := child.ended()) is not None:
                        running.remove(entry)
                        stack.close()
                        free.append(tree)
                        yield task, code
        finally:
            for _, _, child, _ in running:
                child.end()
