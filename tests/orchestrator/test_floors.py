"""Who may import whom among the rooms that run an audit: only downwards, and no circle of files."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "orchestrator"
FLOORS = {
    "audit": 6,
    "backends": 5,
    "estimate": 5,
    "bench": 4,
    "records": 3,
    "progress": 3,
    "plan": 2,
    "results": 2,
    "config": 1,
    "store": 1,
    "command_line": 1,
    "errors": 1,
}
ROOMS = ("audit", "backends", "estimate", "progress")


def module(path: Path) -> str:
    return ".".join(("orchestrator", *path.relative_to(PACKAGE).with_suffix("").parts))


def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports, also inside functions and for annotations."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            files = {name for name in inner if (PACKAGE.parent / f"{name.replace('.', '/')}.py").is_file()}
            found |= files or {node.module}
    return {name for name in found if name.startswith("orchestrator.")}


def files(room: str) -> list[Path]:
    return [path for path in sorted((PACKAGE / room).rglob("*.py")) if path.name != "__init__.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_downwards(room: str) -> None:
    for path in files(room):
        reached = {name.split(".")[1] for name in imports(path)} - {room}
        assert reached <= FLOORS.keys(), path
        assert all(FLOORS[other] < FLOORS[room] for other in reached), (path, reached)


def test_no_circle_of_files() -> None:
    graph = {module(path): imports(path) for room in ROOMS for path in files(room)}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("room", ROOMS)
def test_files_stay_small(room: str) -> None:
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 400 for path in files(room))


def test_audit_prints_nothing() -> None:
    for path in files("audit"):
        calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        assert not [f for f in calls if isinstance(f, ast.Name) and f.id == "print"], path
