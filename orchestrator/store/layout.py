"""Which file each key of a table is read from, at one moment."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store import paths
from orchestrator.store.arrow_files import ArrowFiles
from orchestrator.store.paths import COMPACTED, Entry
from orchestrator.store.schema import Table

T = TypeVar("T")

ATTEMPTS = 50
"""How often a reader starts again because a compaction has removed a file between listing and opening.

Each time needs another compaction within one reading: a slow machine beside a test that does nothing else met five.
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A compacted file and the keys that are read from it."""

    file: str
    holds: frozenset[str]
    serves: frozenset[str]
    """Those of `holds` that have no file of their own and that no other part serves."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Where each key of a table is read from at one moment; every key occurs once."""

    singles: tuple[Entry, ...]
    parts: tuple[Part, ...]

    def keys(self) -> set[str]:
        """Every finished key."""
        return {entry.key for entry in self.singles}.union(*(part.serves for part in self.parts))


def persistently(action: Callable[[], T]) -> T:
    """Do an action, again from its start where a compaction has removed a file that it had listed."""
    for _ in range(ATTEMPTS - 1):
        try:
            return action()
        except FileNotFoundError:
            continue
    return action()


def snapshot(arrow_files: ArrowFiles, table: Table) -> Snapshot:
    """Decide for every key of a table which file it is read from."""
    # Small files first: one that a compaction removes meanwhile is missed neither here nor there.
    entries = _entries(arrow_files, table)
    held = compacted(arrow_files, table)
    # Only a row with a status can say that it failed: no other file is opened for it.
    merged: frozenset[str] = frozenset().union(*held.values()) if "status" in table.columns else frozenset()
    entries = tuple(e for e in entries if e.key not in merged or not failed(arrow_files.load(table, e.file)))
    taken = {entry.key for entry in entries}
    parts = []
    for name, keys in held.items():
        parts.append(Part(file=name, holds=keys, serves=keys - taken))
        taken |= keys
    return Snapshot(singles=entries, parts=tuple(parts))


def failed(rows: pa.Table) -> bool:
    """Whether the rows of a key say that it failed: of two results in one directory the finished one counts."""
    return rows.schema.get_field_index("status") >= 0 and "failed" in rows["status"].to_pylist()


def keys_besides(arrow_files: ArrowFiles, table: Table, damaged: Collection[str]) -> set[str]:
    """Finished keys, without those that only damaged files hold."""
    found = {entry.key for entry in _entries(arrow_files, table) if entry.file not in damaged}
    for file in _compacted_files(arrow_files, table):
        if file not in damaged:
            found |= arrow_files.keys_held(file)
    return found


def rows_besides(arrow_files: ArrowFiles, table: Table, damaged: Collection[str]) -> pa.Table:
    """Rows of a table without path columns, of every file that is not damaged: merged ones first, a key maybe twice."""
    names = [*_compacted_files(arrow_files, table), *(entry.file for entry in _entries(arrow_files, table))]
    loaded = [arrow_files.load(table, name) for name in names if name not in damaged]
    return pa.concat_tables([table.file_schema.empty_table(), *loaded])


def compacted(arrow_files: ArrowFiles, table: Table) -> dict[str, frozenset[str]]:
    """Compacted files and the keys they hold, most keys first."""
    held = {file: arrow_files.keys_held(file) for file in _compacted_files(arrow_files, table)}
    return dict(sorted(held.items(), key=lambda item: (-len(item[1]), item[0])))


def served(arrow_files: ArrowFiles, table: Table, part: Part) -> pa.Table:
    """The rows that are read from a compacted file."""
    arrow = arrow_files.load(table, part.file)
    return arrow.filter(pc.is_in(arrow[table.key], pa.array(sorted(part.serves), pa.string())))


def _compacted_files(arrow_files: ArrowFiles, table: Table) -> list[str]:
    if not table.compactable:
        return []
    directory = f"{table.name}/{COMPACTED}"
    return [f"{directory}/{name}" for name in arrow_files.files.names(directory) if name.endswith(".arrow")]


def _entries(arrow_files: ArrowFiles, table: Table) -> tuple[Entry, ...]:
    names = sorted(arrow_files.files.names(table.name))
    return tuple(entry for entry in (paths.parse(table, name) for name in names) if entry is not None)
