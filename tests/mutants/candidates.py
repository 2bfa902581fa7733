"""The mutants that a file allows, and the sample of an area that a seed draws."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.mutants import python_operators, sql_operators
from tests.mutants.areas import Area
from tests.mutants.mutant import Mutant, mutant


def candidates(root: Path, path: str) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    text = (root / path).read_text(encoding="utf-8")
    operators = sql_operators if path.endswith(".sql") else python_operators
    return [mutant(path, text, edit) for edit in operators.edits(text)]


def sample(root: Path, area: Area, count: int, seed: int) -> list[Mutant]:
    """At most `count` mutants, each of another line, every line as likely as any other.

    The digest of seed and line orders the lines, and of seed and mutant those of a line: a change elsewhere in the
    area leaves the sample as it is, but for lines that come or go.
    """

    def order(*parts: str) -> bytes:
        return hashlib.sha256("\n".join((str(seed), *parts)).encode()).digest()

    lines: dict[tuple[str, int], list[Mutant]] = {}
    for path in area.files(root):
        for made in candidates(root, path):
            lines.setdefault((path, made.edit.line), []).append(made)
    drawn = sorted(lines.values(), key=lambda some: order(some[0].path, some[0].line))[:count]
    return [min(some, key=lambda made: order(*made.key)) for some in drawn]
