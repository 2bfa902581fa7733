"""Where results lie: the name of every file under the root, and back from a name to its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from orchestrator.store.files import MARKER
from orchestrator.store.place import Files
from orchestrator.store.schema import Table
from orchestrator.store.tables import TABLES
from tasks.errors import AuditError

COMPACTED = "_compacted"
DAMAGED = "_damaged"
SEARCH = "search"
"""Below the results of an audit: those of its search for hyper-parameters."""
PAGE = "report.html"
TENSORS = ("weights", "shared")
"""Kinds of blobs that are safetensors files."""
OURS = (MARKER, DAMAGED, SEARCH, PAGE, *TENSORS, *TABLES)
"""Names in a results directory."""
MAX_DIRECTORY = 200
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=+-]{0,199}")
BLOB_SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One small file of a table."""

    file: str
    """Relative to the root."""
    key: str
    path: Mapping[str, str]
    """Values of the path columns."""


def safe_name(what: str, name: str) -> str:
    """Return the name, refusing one that could leave its directory or be hidden."""
    if not SAFE_NAME.fullmatch(name):
        raise AuditError(f"{what}: expected letters, digits and _.=+- (1 to 200, no path), got {name!r}")
    return name


def file_name(table: Table, key: str, path: Mapping[str, str]) -> str:
    """`<table>/<column>=<value>/.../<key>.arrow`, or `.../<key column>=<key>/part.arrow`.

    Raises:
        AuditError: the key is no safe name, or the path columns are not exactly those of the table.
    """
    safe_name(f"{table.name}.{table.key}", key)
    values = {**path, table.key: key} if table.key in table.path else dict(path)
    if set(values) != set(table.path):
        wanted = ", ".join(column for column in table.path if column != table.key) or "none"
        raise AuditError(f"{table.name}: expected the path columns {wanted}, got {sorted(path)}")
    directories = [f"{column}={quote(values[column], safe='')}" for column in table.path]
    for directory in directories:
        if len(directory) > MAX_DIRECTORY:
            raise AuditError(f"{table.name}: too long for the name of a directory: {directory}")
    return "/".join([table.name, *directories, "part.arrow" if table.key in table.path else f"{key}.arrow"])


def parse(table: Table, name: str) -> Entry | None:
    """The entry of a name below the table's directory, or None where it is no result file."""
    *directories, last = name.split("/")
    pairs = [directory.partition("=") for directory in directories]
    if tuple(column for column, _, _ in pairs) != table.path or not last.endswith(".arrow"):
        return None
    path = {column: unquote(value) for column, _, value in pairs}
    if table.key not in path:
        return Entry(file=f"{table.name}/{name}", key=last.removesuffix(".arrow"), path=path)
    return (
        Entry(file=f"{table.name}/{name}", key=path[table.key], path=path) if last == "part.arrow" else None
    )


def blob_name(kind: str, key: str) -> str:
    """`<kind>/<key>.safetensors`."""
    if kind in TABLES:
        raise AuditError(f"blob kind: '{kind}' is a table")
    return f"{safe_name('blob kind', kind)}/{safe_name(kind, key)}{BLOB_SUFFIX}"


def blob_keys(files: Files, kind: str) -> set[str]:
    """Every key of a kind of blob."""
    return {name.removesuffix(BLOB_SUFFIX) for name in files.names(kind) if name.endswith(BLOB_SUFFIX)}
