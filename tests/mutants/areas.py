"""The areas: which files are mutated, and in which folders the tests stand that have to notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IDENTITY = tuple(f"orchestrator/plan/{name}.py" for name in ("identity", "plugins", "contents", "sources"))
SQL_TESTS = (
    "tests/queries",
    *(f"tests/orchestrator/results/test_{name}.py" for name in ("declared", "plan", "results", "verdict")),
)
NO_JUDGES = ("tests/orchestrator/plan/test_source_digests.py",)
"""Red for any change of code, whatever it does."""


@dataclass(frozen=True)
class Area:
    """Patterns of source files, and folders or files of tests, the nearest first: a slip has to be noticed near by."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()
    """Sources that belong to another area."""
    named: bool = False
    """Only tests that name a source cover it: whoever opens one of these files opens all of them."""

    def files(self, root: Path) -> list[str]:
        """The source files, from the root."""
        paths = {path.relative_to(root).as_posix() for pattern in self.sources for path in root.glob(pattern)}
        return sorted(paths - set(self.without))

    def test_files(self, root: Path) -> list[str]:
        """The test files, from the root, the nearest first."""
        files = {
            file.relative_to(root).as_posix(): None
            for place in self.tests
            for file in (sorted((root / place).rglob("test_*.py")) or [root / place])
        }
        return [file for file in files if file not in NO_JUDGES]

    def distance(self, test: str) -> int:
        """Place of a test file's folder among `tests`, from 0: the nearest."""
        return next(n for n, place in enumerate(self.tests) if test == place or test.startswith(f"{place}/"))


AREAS = {
    "metrics": Area(
        ("tasks/metrics/*.py", "tasks/statistics/*.py"),
        ("tests/tasks/metrics", "tests/tasks/statistics", "tests/tasks/attacks", "tests/tasks/measure"),
    ),
    "attacks": Area(
        ("tasks/attacks/*.py", "tasks/measure/*.py"),
        ("tests/tasks/attacks", "tests/tasks/measure", "tests/tasks/contracts", "tests/tasks/shadows"),
    ),
    "unlearn": Area(("tasks/unlearn/**/*.py",), ("tests/tasks/unlearn", "tests/tasks/contracts")),
    "shadows": Area(
        ("tasks/shadows/*.py",),
        ("tests/tasks/shadows", "tests/tasks/attacks", "tests/tasks/training"),
    ),
    "plan": Area(
        ("orchestrator/plan/*.py",),
        (
            "tests/orchestrator/plan",
            "tests/orchestrator/audit/test_plans.py",
            "tests/orchestrator/audit/test_tuning.py",
            "tests/orchestrator/estimate",
            "tests/orchestrator/results/test_declared.py",
            "tests/orchestrator/scores",
            "tests/test_bad_inputs.py",
        ),
        without=IDENTITY,
    ),
    "identity": Area(IDENTITY, ("tests/orchestrator/plan", "tests/orchestrator/test_contents.py")),
    "records": Area(
        ("orchestrator/records/*.py",),
        (
            "tests/orchestrator/records",
            "tests/orchestrator/store",
            *(f"tests/orchestrator/audit/test_{name}.py" for name in ("sweep", "shared_costs")),
        ),
    ),
    "store": Area(
        ("orchestrator/store/*.py",),
        (
            "tests/orchestrator/store",
            "tests/orchestrator/audit/test_damage.py",
            "tests/orchestrator/test_purge.py",
        ),
    ),
    "report": Area(
        (
            "orchestrator/report/*.py",
            "orchestrator/report/facts/*.py",
            "orchestrator/results/charts/*.py",
            "orchestrator/results/queries/*.sql",
        ),
        (
            "tests/orchestrator/report",
            "tests/orchestrator/results/test_charts.py",
            "tests/queries/recomputed",
        ),
    ),
    "views": Area(("orchestrator/results/*.sql",), SQL_TESTS),
    "queries": Area(("queries/*.sql",), SQL_TESTS, named=True),
}
