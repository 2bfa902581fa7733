"""Who imports whom in a source tree: read from the syntax, imports inside functions included, nothing executed.

A room is what lies directly inside a package: a folder, or a single module. `TYPE_CHECKING` blocks do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

Graph = Mapping[str, set[str]]
"""Dotted name -> the names that it imports."""
Floors = Sequence[Sequence[str]]
"""Rooms of a package, the ground floor first."""
INIT = "__init__"
"""The room that a package's own `__init__.py` is."""


def source_files(root: Path, packages: Iterable[str]) -> dict[str, Path]:
    """Every source file by its dotted name; a package's `__init__.py` has the package's."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == INIT else parts)] = path
    return found


def import_graph(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """What each file imports of the others."""
    return {name: set(_imports(name, path, files)) - {name} for name, path in files.items()}


def _imports(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == f"{INIT}.py" else name.rpartition(".")[0]
    for node in _executed(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield from (found for found in [whole if whole in known else base] if found in known)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below, without those that are there for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield other
                yield from _executed(other)
            continue
        yield child
        yield from _executed(child)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    above = parents[: len(parents) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def room_of(name: str) -> str:
    """`orchestrator.bench.cells` lies in `orchestrator.bench`, `orchestrator` itself is `orchestrator.__init__`."""
    parts = name.split(".")
    return f"{parts[0]}.{parts[1] if len(parts) > 1 else INIT}"


def rooms(graph: Graph) -> dict[str, set[str]]:
    """The same graph between rooms."""
    between: dict[str, set[str]] = {room_of(name): set() for name in graph}
    for name, others in graph.items():
        between[room_of(name)] |= {room_of(other) for other in others} - {room_of(name)}
    return between


def circles(graph: Graph) -> list[list[str]]:
    """Groups of names that reach each other, each sorted; a graph without circles has none."""
    reached = {name: _reached(graph, name) for name in graph}
    groups = {tuple(sorted(other for other in reached[name] if name in reached[other])) for name in graph}
    return sorted(list(group) for group in groups if group)


def _reached(graph: Graph, start: str) -> set[str]:
    reached: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += graph[name]
    return reached


def upward(graph: Graph, floors: Mapping[str, Floors]) -> list[str]:
    """Imports from a lower floor to a higher one, within a package, as `from -> to`."""
    height = {
        f"{p}.{r}": k for p, storeys in floors.items() for k, storey in enumerate(storeys) for r in storey
    }
    return sorted(
        f"{name} -> {other}"
        for name, others in graph.items()
        for other in others
        if name.split(".")[0] == other.split(".")[0]
        and height.get(room_of(name), len(height)) < height.get(room_of(other), -1)
    )


def misplaced(graph: Graph, floors: Mapping[str, Floors]) -> list[str]:
    """Rooms without a floor, rooms on two floors, and rooms on a floor that do not exist."""
    placed = [f"{p}.{room}" for p, storeys in floors.items() for storey in storeys for room in storey]
    twice = {room for room in placed if placed.count(room) > 1}
    return sorted((set(rooms(graph)) ^ set(placed)) | twice)
