"""Result files: one for each table and key, finished when it exists.

Writers never share a file, so there are no locks, and readers see whole files only. `compact` merges the
small files of a table into one below `<table>/_compacted/`, which carries the list of the keys it holds. A
key is read from one place: its own file if there is one, else the compacted file that holds most keys. A failure in
its own file goes behind: it was copied there from the results of another, or what is compacted would not be there.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store import compaction, layout, marker, paths
from orchestrator.store.arrow_files import ArrowFiles
from orchestrator.store.damage import damaged_tables
from orchestrator.store.files import MARKER, Files
from orchestrator.store.layout import Snapshot, persistently
from orchestrator.store.modes import Share
from orchestrator.store.paths import OURS, SEARCH, Entry
from orchestrator.store.schema import STRING, Table, to_arrow
from orchestrator.store.tables import TABLES, table_named
from tasks.errors import AuditError, UnknownName

if TYPE_CHECKING:
    import pyarrow.dataset as ds

STALE_SECONDS = 3600.0
SMALL_FILES = 100
"""Small files of a table from which on a sweep merges them when it ends; fewer cost a query some 0.05 s."""


class Store:
    """Reads and writes the results under one root.

    Args:
        root: a directory, or a URI such as s3://bucket/prefix. Nothing is created before the first write.
    """

    def __init__(self, root: str) -> None:
        self.arrow_files = ArrowFiles(root)
        self.root = self.arrow_files.root

    @property
    def files(self) -> Files:
        """Where the files are."""
        return self.arrow_files.files

    def check_ready(self, share: Share | None = None) -> None:
        """Make the root, mark it with the schema version, prove that it can be written, clear stale files.

        Args:
            share: who may read the results besides their owner, those that are there too; None: as it is, and nobody
                where they are new.

        Raises:
            AuditError: it is not a directory, cannot be written, or holds results of another version.
        """
        self.check_version()
        if share is not None:
            self.files.share(share, OURS)
        probe = f"probe-{secrets.token_hex(4)}"
        self.files.write(probe, b"")
        self.files.remove(probe)
        if not self.marked():
            marker.write(self.files)
        self.clear_stale()

    def marked(self) -> bool:
        """Whether the root is marked as one of results."""
        return self.files.exists(MARKER)

    def has_results(self) -> bool:
        """Whether there is a file of any table."""
        return any(True for name in TABLES for _ in self.files.names(name))

    def check_exists(self) -> None:
        """Refuse a root that is no directory, or holds nothing of ours: a sweep marks its directory first of all."""
        if not self.files.usable():
            raise AuditError(
                f"results: no directory '{self.root}'; python -m orchestrator.sweep --out {self.root} makes it"
            )
        if not (self.marked() or self.has_results()):
            below = self.files.describe("results")
            nearest = f": there are results in {below}" if self.files.exists(f"results/{MARKER}") else ""
            raise AuditError(
                f"results: '{self.root}' holds none: expected what a sweep was given as --out{nearest}"
            )

    def check_version(self) -> None:
        """Refuse results that another schema version wrote."""
        try:
            version = marker.read(self.files)
        except (OSError, ValueError) as error:
            raise self.arrow_files.refusal(MARKER, error) from error
        if version is not None:
            self.arrow_files.require_version(version, MARKER)

    def has(self, table: str, key: str, **path: str) -> bool:
        """Whether the key is finished; tables with path columns need their values."""
        known = table_named(table)
        if self.files.exists(paths.file_name(known, key, path)):
            return True
        parts = persistently(lambda: layout.compacted(self.arrow_files, known))
        return any(key in keys for keys in parts.values())

    def keys(self, table: str) -> set[str]:
        """Every finished key of a table, from one listing."""
        return self.snapshot(table).keys()

    def size(self, table: str) -> int:
        """Bytes of the files that a table is read from."""
        snapshot = self.snapshot(table)
        names = [entry.file for entry in snapshot.singles] + [part.file for part in snapshot.parts]
        return sum(self.files.size(name) for name in names)

    def write(self, table: str, key: str, rows: Sequence[Mapping[str, Any]] | pa.Table, **path: str) -> None:
        """Publish the rows of a key at once, in place of earlier ones.

        Args:
            table: name of the table.
            key: names the file and fills the key column where rows leave it out.
            rows: mappings or an Arrow table, without the path columns; none is a finished key with no rows.
            path: a value for each path column besides the key.
        """
        known = table_named(table)
        name = paths.file_name(known, key, path)
        self.arrow_files.write(name, to_arrow(known, rows, key=key))

    def write_all(self, table: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Publish the rows of many keys of a compactable table in one file; none of the keys may be there yet."""
        known = table_named(table)
        if rows:
            merged = pa.concat_tables(to_arrow(known, some, key=key) for key, some in rows.items())
            compaction.publish(self.arrow_files, known, merged, rows)

    def read(self, table: str, key: str | None = None, **path: str) -> pa.Table:
        """The rows of one key, or of all keys where none is given.

        Raises:
            UnknownName: the key is not finished.
            AuditError: a file is truncated, corrupt or of another schema version.
        """
        known = table_named(table)
        if key is None:
            return persistently(lambda: self._read_all(known))
        return persistently(lambda: self._read_key(known, key, path))

    def read_besides(self, table: str, damaged: Collection[str]) -> pa.Table:
        """What can be read of a table without path columns; a key that two files hold comes twice, the single one last.

        Args:
            table: name of the table.
            damaged: files that cannot be read.
        """
        known = table_named(table)
        return persistently(lambda: layout.rows_besides(self.arrow_files, known, damaged))

    def delete(self, table: str, key: str, **path: str) -> None:
        """Forget a key, so that it is computed again; nothing happens where it is not finished.

        For the driver only: a compaction that another process runs at the same time may keep the key.
        """
        known = table_named(table)
        persistently(lambda: compaction.drop(self.arrow_files, known, frozenset([key])))
        self.files.remove(paths.file_name(known, key, path))

    def delete_all(self, table: str, keys: Iterable[str]) -> None:
        """Forget many keys of a table without path columns, rewriting compacted files once."""
        known, unwanted = table_named(table), frozenset(keys)
        names = [paths.file_name(known, key, {}) for key in unwanted]
        persistently(lambda: compaction.drop(self.arrow_files, known, unwanted))
        self.arrow_files.each(self.files.remove, names)

    def snapshot(self, table: str) -> Snapshot:
        """Decide for every key of a table which file it is read from."""
        return persistently(lambda: layout.snapshot(self.arrow_files, table_named(table)))

    def dataset(self, table: str) -> ds.Dataset:
        """The table as an Arrow dataset whose path columns prune files; files are opened when scanned."""
        import pyarrow.dataset as ds  # imports pandas where that is installed: half a second

        known = table_named(table)
        snapshot = self.snapshot(table)
        whole = [part.file for part in snapshot.parts if part.serves == part.holds]
        names = whole + [entry.file for entry in snapshot.singles]
        self.arrow_files.each(partial(self.arrow_files.check, known), names)
        files = ds.FileSystemDataset.from_paths(
            [self.files.full(name) for name in names],
            schema=known.query_schema,
            format=ds.IpcFileFormat(),
            filesystem=self.files.filesystem,
            partitions=[pc.scalar(True)] * len(whole) + [_expression(entry) for entry in snapshot.singles],
        )
        overlapping = [
            layout.served(self.arrow_files, known, part)
            for part in snapshot.parts
            if part.serves and part.serves != part.holds
        ]
        if not overlapping:
            return files
        return ds.UnionDataset(known.query_schema, [files, ds.InMemoryDataset(pa.concat_tables(overlapping))])

    def compact(self, tables: Iterable[str] | None = None, *, at_least: int = 2) -> int:
        """Merge the small files of finished keys into one file per table; return how many were merged.

        Failed keys keep their own files, since they are the ones that are written again.

        Args:
            tables: names; every compactable table where none is given.
            at_least: a table with fewer small files is left as it is.

        A file that is written again meanwhile keeps its rows: it is not removed, and comes before the merged one.
        """
        names = [t.name for t in TABLES.values() if t.compactable] if tables is None else tables
        return sum(
            persistently(partial(compaction.compact, self.arrow_files, table_named(name), at_least))
            for name in names
        )

    def clear_stale(self) -> None:
        """Remove what killed writers left behind; younger files may belong to a writer that lives."""
        for name in self.files.stale(seconds=STALE_SECONDS):
            self.files.remove(name)

    def diagnose(self, tables: Iterable[str]) -> AuditError | None:
        """The error that names the first unreadable file of some tables, if there is one."""
        for found in damaged_tables(self.arrow_files, tables):
            if found.state == "unreadable":
                return AuditError(found.reason)
            return self.arrow_files.broken(found.file, found.reason)
        return None

    def put_blob(self, kind: str, key: str, data: bytes) -> None:
        """Publish bytes at once as `<kind>/<key>.safetensors`."""
        self.files.write(paths.blob_name(kind, key), data)

    def get_blob(self, kind: str, key: str) -> bytes:
        """The bytes of a blob.

        Raises:
            UnknownName: there is none of this key.
        """
        name = paths.blob_name(kind, key)
        try:
            return self.files.read(name).to_pybytes()
        except FileNotFoundError:
            raise UnknownName(f"results: no file {self.files.describe(name)}") from None
        except (OSError, MemoryError) as error:
            raise AuditError(f"results: cannot read {self.files.describe(name)}: {error!s:.200}") from error

    def has_blob(self, kind: str, key: str) -> bool:
        """Whether the blob is there."""
        return self.files.exists(paths.blob_name(kind, key))

    def delete_blob(self, kind: str, key: str) -> None:
        """Remove a blob; nothing happens where there is none."""
        self.files.remove(paths.blob_name(kind, key))

    def blob_keys(self, kind: str) -> set[str]:
        """Every key of a kind of blob."""
        return paths.blob_keys(self.files, kind)

    def _read_key(self, table: Table, key: str, path: Mapping[str, str]) -> pa.Table:
        name = paths.file_name(table, key, path)
        single = self.arrow_files.load(table, name) if self.files.exists(name) else None
        if single is None or (table.compactable and layout.failed(single)):
            for part, keys in layout.compacted(self.arrow_files, table).items():
                if key in keys:
                    return self.arrow_files.load(table, part).filter(pc.field(table.key) == key)
        if single is not None:
            return _with_paths(table, [single], [{table.key: key, **path}])
        raise UnknownName(f"{self.files.describe(table.name)}: no {table.key} '{key}' has finished")

    def _read_all(self, table: Table) -> pa.Table:
        """Each file opened once: of thousands a dataset takes twice as long, beside the check that it needs before."""
        snapshot = layout.snapshot(self.arrow_files, table)
        pieces = [table.query_schema.empty_table()]
        pieces += [layout.served(self.arrow_files, table, part) for part in snapshot.parts if part.serves]
        singles = self.arrow_files.each(
            lambda entry: self.arrow_files.load(table, entry.file), snapshot.singles
        )
        values = [{**entry.path, table.key: entry.key} for entry in snapshot.singles]
        try:
            pieces += [_with_paths(table, singles, values)] if singles else []
            return pa.concat_tables(pieces).combine_chunks()
        except (pa.ArrowException, MemoryError) as error:
            raise self.diagnose([table.name]) or error from error


def existing(root: str) -> Store:
    """The results that a sweep has written.

    Raises:
        AuditError: there is no such directory, or another schema version wrote it.
    """
    store = Store(root)
    store.check_exists()
    store.check_version()
    return store


def search_store(store: Store) -> Store:
    """The results of the search for hyper-parameters that serves these; there may be none."""
    return Store(f"{store.root.rstrip('/')}/{SEARCH}")


def _expression(entry: Entry) -> pc.Expression:
    equalities = [pc.field(column) == value for column, value in entry.path.items()]
    expression = equalities[0] if equalities else pc.scalar(True)
    for equality in equalities[1:]:
        expression = expression & equality
    return expression


def _with_paths(table: Table, files: Sequence[pa.Table], values: Sequence[Mapping[str, str]]) -> pa.Table:
    """The rows of files, with what the path of each says of its rows."""
    arrow = pa.concat_tables(files)
    file_of_row = pa.array(np.repeat(np.arange(len(files)), [len(rows) for rows in files]))
    for column in table.path:
        arrow = arrow.append_column(column, pa.array([v[column] for v in values], STRING).take(file_of_row))
    return arrow.replace_schema_metadata(table.query_schema.metadata)
