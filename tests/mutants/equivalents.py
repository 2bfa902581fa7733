"""Mutants that have been judged: no test can tell them from the code, or none should. Each has its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from tests.mutants.candidates import candidates

FILE = Path(__file__).with_name("equivalents.toml")

Key = tuple[str, str, str]
"""File, line, what it becomes: as `Mutant.key`."""


def equivalents(file: Path = FILE) -> dict[Key, str]:
    """Reasons of the mutants that are judged."""
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get("equivalent", [])
    return {(entry["file"], entry["line"], entry["becomes"]): entry["reason"] for entry in entries}


def outdated(root: Path, judged: Mapping[Key, str]) -> list[str]:
    """A line for each entry whose mutant can no longer be made."""
    made = {
        path: {mutant.key for mutant in candidates(root, path)} if (root / path).is_file() else set()
        for path in {key[0] for key in judged}
    }
    return [
        f"{path}: no mutant  {line}  ->  {becomes}"
        for path, line, becomes in judged
        if (path, line, becomes) not in made[path]
    ]
