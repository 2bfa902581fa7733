"""Files that are not what was written under their name, one by one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from orchestrator.store import marker, paths
from orchestrator.store.arrow_files import MISPLACED, OTHER_VERSION, ArrowFiles, Unreadable
from orchestrator.store.files import MARKER, Files, NotAFile, reason_of
from orchestrator.store.paths import BLOB_SUFFIX, COMPACTED, TENSORS
from orchestrator.store.schema import Table
from orchestrator.store.tables import INVENTORY, TABLES, table_named
from tasks.errors import AuditError

WEIGHTS, SHARED = TENSORS
LONGEST_HEADER = 100_000_000
"""Bytes that the safetensors library admits."""
PART = 1 << 24
"""Bytes of tensors that are held at once."""
COPIED = "the tensors of another name"
STRANGER = "not a result file"


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file, or a key of a table, that is not as it was written."""

    file: str
    """Relative to the root; of what is missing, the table, or the file where it is one of its own."""
    reason: str
    state: Literal["damaged", "unreadable", "missing"] = "damaged"
    """unreadable: it may be whole, and is left where it is."""
    keys: frozenset[str] = frozenset()
    """What it held, where that can be told."""
    misplaced: bool = False
    """Whether it is whole but of another name: nothing is lost unless this name had a file of its own."""
    cells: int = 0
    """How many rest on it."""

    @property
    def part(self) -> str:
        """The table, or the kind of tensors, that it belongs to."""
        return self.file.partition("/")[0]

    @property
    def lost(self) -> bool:
        """Whether a repair records its keys as lost."""
        return (
            bool(self.keys) and self.state != "unreadable" and self.part in {*TABLES, WEIGHTS} - {INVENTORY}
        )


def damaged_marker(files: Files, *, expected: bool) -> Iterator[Damage]:
    """The marker of the directory, if it is not as it was written.

    Args:
        files: the results.
        expected: whether there are results that it should mark.
    """
    try:
        if marker.read(files) is None and expected:
            yield Damage(file=MARKER, reason="missing", state="missing")
    except ValueError as error:
        yield Damage(file=MARKER, reason=str(error))
    except IsADirectoryError:
        yield Damage(file=MARKER, reason="a directory")
    except OSError as error:
        yield Damage(file=MARKER, reason=str(error.strerror or error), state="unreadable")


def damaged_tables(arrow_files: ArrowFiles, tables: Iterable[str]) -> Iterator[Damage]:
    """Files of some tables that are damaged, misplaced, unreadable or of another schema version."""
    for name in tables:
        table = table_named(name)
        if not arrow_files.files.holds_directory(name):
            yield Damage(file=name, reason="no directory: results hold a directory for each table")
            continue
        for directory in (name, f"{name}/{COMPACTED}"):
            try:
                inside = sorted(arrow_files.files.names(directory))
            except AuditError as error:
                yield Damage(file=directory, reason=str(error), state="unreadable")
                continue
            for file in inside:
                yield from _damaged_table_file(arrow_files, table, directory, file)


def _damaged_table_file(arrow_files: ArrowFiles, table: Table, directory: str, name: str) -> Iterator[Damage]:
    file, single = f"{directory}/{name}", directory == table.name
    entry = paths.parse(table, name) if single else None
    keys = frozenset([entry.key]) if entry else frozenset()
    if single and entry is None:
        yield Damage(file=file, reason=STRANGER)
        return
    try:
        reason = arrow_files.damage(table, file)
    except FileNotFoundError:  # a compaction has just taken it in
        return
    except Unreadable as error:
        yield Damage(file=file, reason=str(error), state="unreadable", keys=keys)
        return
    if reason:
        state: Literal["damaged", "unreadable"] = "unreadable" if reason == OTHER_VERSION else "damaged"
        misplaced = reason.startswith(MISPLACED)
        yield Damage(file=file, reason=reason, state=state, keys=keys, misplaced=misplaced)


def damaged_tensors(files: Files, digests: Mapping[str, str]) -> Iterator[Damage]:
    """Tensors that are cut short, or not those that the row of their model or stage names.

    Args:
        files: the results.
        digests: SHA-256 of the tensors by model, shadow model or stage; what has none is judged by its length alone.
    """
    for kind in TENSORS:
        for name in sorted(files.names(kind)):
            file, key = f"{kind}/{name}", name.removesuffix(BLOB_SUFFIX)
            if not name.endswith(BLOB_SUFFIX) or not paths.SAFE_NAME.fullmatch(key):
                yield Damage(file=file, reason=STRANGER)
                continue
            keys = frozenset([key])
            try:
                reason = _foreign(files, file, key, digests)
            except FileNotFoundError:
                continue
            except NotAFile as error:
                yield Damage(file=file, reason=str(error.strerror))
                continue
            except OSError as error:
                yield Damage(file=file, reason=reason_of(error), state="unreadable", keys=keys)
                continue
            if reason:
                yield Damage(file=file, reason=reason, keys=keys, misplaced=reason == COPIED)


def _foreign(files: Files, file: str, key: str, digests: Mapping[str, str]) -> str:
    with files.open(file, whole=True) as source:
        if not _whole_tensors(source):
            return "truncated or corrupt"
        source.seek(0)
        taken = hashlib.sha256()
        while part := source.read(PART):
            taken.update(part)
    digest = taken.hexdigest()
    if digests.get(key, digest) != digest:
        return "not the tensors that were written under this name"
    # One without a row that is like no other may be of a sweep that was killed.
    return COPIED if key not in digests and digest in digests.values() else ""


def _whole_tensors(source: pa.NativeFile) -> bool:
    """Whether a safetensors file is as long as its header says."""
    length = int.from_bytes(source.read(8), "little")
    if length > min(LONGEST_HEADER, source.size()):
        return False
    try:
        header = json.loads(source.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return source.size() == 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return False
