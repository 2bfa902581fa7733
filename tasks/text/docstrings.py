"""Docstrings of the standard library: real text that comes with every Python. Read as text, never imported."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import AuditError
from tasks.text.rows import Row

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_HOLDS_STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)


def library_files() -> list[Path]:
    """Source files of the top level of the running interpreter's standard library, by name.

    Raises:
        AuditError: this Python comes without them.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    public = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    files = sorted(path for path in folder.glob("*.py") if path.stem in public)
    if not files:
        raise AuditError(f"{folder}: expected the source files of Python's standard library, found none")
    return files


def docstrings(path: Path, *, shortest: int, longest: int) -> Iterator[Row]:
    """Docstrings of a module, its classes and functions, by qualified name; of two of one name the first.

    Args:
        path: of the module.
        shortest: fewest bytes of a docstring, its indentation taken away.
        longest: most bytes of one.
    """
    seen: set[str] = set()
    for name, node in _named(ast.parse(path.read_bytes()), path.stem):
        text = ast.get_docstring(node) or ""
        if shortest <= len(text.encode()) <= longest and name not in seen:
            seen.add(name)
            yield Row(where=name, text=text, id=name, group=path.stem)


def _named(
    node: ast.AST, name: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    if isinstance(node, _DOCUMENTED):
        yield name, node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _HOLDS_STATEMENTS):
            continue
        inner = f"{name}.{child.name}" if isinstance(child, _DOCUMENTED[1:]) else name
        yield from _named(child, inner)
