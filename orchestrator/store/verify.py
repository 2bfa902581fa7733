"""Files that cannot be read whole, or are not what they are named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from orchestrator.store import paths
from orchestrator.store.arrow_files import ArrowFiles, WrongVersion
from orchestrator.store.files import NotAFile
from orchestrator.store.paths import BLOB_SUFFIX, COMPACTED, TENSORS
from orchestrator.store.schema import Table
from orchestrator.store.tables import table_named
from tasks.errors import AuditError

LONGEST_HEADER = 100_000_000
"""Bytes that the safetensors library admits."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file that cannot be read whole."""

    file: str
    reason: str


def damaged_tables(arrow_files: ArrowFiles, tables: Iterable[str]) -> Iterator[Damage]:
    """Files of some tables that are truncated, corrupt, misplaced or of another schema version."""
    for name in tables:
        table = table_named(name)
        if not arrow_files.files.holds_directory(name):
            yield Damage(file=name, reason="no directory: results hold a directory for each table")
            continue
        for directory in (name, f"{name}/{COMPACTED}"):
            for inside in sorted(arrow_files.files.names(directory)):
                file = f"{directory}/{inside}"
                misplaced = directory == name and paths.parse(table, inside) is None
                reason = "not a result file" if misplaced else _unreadable(arrow_files, table, file)
                if reason:
                    yield Damage(file=file, reason=reason)


def damaged_tensors(arrow_files: ArrowFiles, digests: Mapping[str, str | None]) -> Iterator[Damage]:
    """Tensors that are cut short, or not those that the row of their model names.

    Args:
        arrow_files: the results.
        digests: SHA-256 of the weights by model; None where it is unknown.
    """
    for kind in TENSORS:
        for key in sorted(paths.blob_keys(arrow_files.files, kind)):
            name = f"{kind}/{key}{BLOB_SUFFIX}"
            if not paths.SAFE_NAME.fullmatch(key):
                yield Damage(file=name, reason="not a result file")
                continue
            try:
                data = memoryview(arrow_files.files.read(name))
            except NotAFile as error:
                yield Damage(file=name, reason=str(error.strerror))
                continue
            except (OSError, MemoryError):
                yield Damage(file=name, reason="cannot be read")
                continue
            if not _whole_tensors(data):
                yield Damage(file=name, reason="truncated or corrupt")
            elif kind == "weights" and digests.get(key) not in (None, hashlib.sha256(data).hexdigest()):
                yield Damage(file=name, reason="not the weights that were written for this model")


def _unreadable(arrow_files: ArrowFiles, table: Table, file: str) -> str:
    try:
        arrow_files.files.check(file)
        arrow_files.load(table, file)
    except NotAFile as error:
        return str(error.strerror)
    except FileNotFoundError:  # a compaction has just taken it in
        return ""
    except WrongVersion:
        return "of another schema version"
    except (AuditError, pa.ArrowException, OSError):
        return "truncated or corrupt"
    return ""


def _whole_tensors(data: memoryview) -> bool:
    """Whether a safetensors file is as long as its header says."""
    length = int.from_bytes(data[:8], "little")
    if length > LONGEST_HEADER:
        return False
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return len(data) == 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return False
