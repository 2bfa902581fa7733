"""Result files: one for each table and key, finished when it exists.

Writers never share a file, so there are no locks, and readers see whole files only. `compact` merges the
small files of a table into one below `<table>/_compacted/`, which carries the list of the keys it holds. A
key is read from one place: its own file if there is one, else the compacted file that holds most keys. So a
kill at any point of a compaction leaves every key readable once: until the merged file has its name nothing
has changed, and from then on it does not matter how many of the small files are still to be removed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store import paths
from orchestrator.store.files import files_at
from orchestrator.store.paths import COMPACTED, DAMAGED, MARKER, Entry
from orchestrator.store.schema import SCHEMA_VERSION, TABLES, Table, conform, table_named, to_arrow
from tasks.errors import AuditError, UnknownName

if TYPE_CHECKING:
    import pyarrow.dataset as ds

S = TypeVar("S")
T = TypeVar("T")

BATCH_ROWS = 131_072
TENSORS = ("weights", "shared")
"""Kinds of blobs that are safetensors files."""
STALE_SECONDS = 3600.0
SMALL_FILES = 100
"""Small files of a table from which on a sweep merges them when it ends; fewer cost a query some 0.05 s."""
ATTEMPTS = 5
"""How often a reader starts again because a compaction has removed a file between listing and opening."""
IPC_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd", unify_dictionaries=True)


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


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A file that cannot be read whole."""

    file: str
    reason: str


class Store:
    """Reads and writes the results under one root.

    Args:
        root: a directory, or a URI such as s3://bucket/prefix. Nothing is created before the first write.
    """

    def __init__(self, root: str) -> None:
        self.root = str(root)
        self.files = files_at(root)
        self._held: dict[str, frozenset[str]] = {}

    def check_ready(self) -> None:
        """Make the root, mark it with the schema version, prove that it can be written, clear stale files.

        Raises:
            AuditError: it is not a directory, cannot be written, or holds results of another version.
        """
        self.check_version()
        probe = f"probe-{secrets.token_hex(4)}"
        self.files.write(probe, b"")
        self.files.remove(probe)
        if not self.files.exists(MARKER):
            self.files.write(MARKER, json.dumps({"schema_version": SCHEMA_VERSION}).encode())
        self._clear_stale()

    def check_version(self) -> None:
        """Refuse results that another schema version wrote."""
        place = self.files.describe(MARKER)
        try:
            version = json.loads(self.files.read(MARKER).to_pybytes())["schema_version"]
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AuditError(f"results: {place} is no marker of a results directory: {error}") from error
        self._require_version(str(version), MARKER)

    def has(self, table: str, key: str, **path: str) -> bool:
        """Whether the key is finished; tables with path columns need their values."""
        known = table_named(table)
        if self.files.exists(paths.file_name(known, key, path)):
            return True
        parts = self._persistently(lambda: self._compacted(known))
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
        self.files.write(name, _serialise(to_arrow(known, rows, key=key)))

    def read(self, table: str, key: str | None = None, **path: str) -> pa.Table:
        """The rows of one key, or of all keys where none is given.

        Raises:
            UnknownName: the key is not finished.
            AuditError: a file is truncated, corrupt or of another schema version.
        """
        known = table_named(table)
        if key is None:
            return self._persistently(lambda: self._scan(known))
        return self._persistently(lambda: self._read_key(known, key, path))

    def delete(self, table: str, key: str, **path: str) -> None:
        """Forget a key, so that it is computed again; nothing happens where it is not finished.

        For the driver only: a compaction that another process runs at the same time may keep the key.
        """
        known = table_named(table)
        self._persistently(lambda: self._drop_compacted(known, frozenset([key])))
        self.files.remove(paths.file_name(known, key, path))

    def delete_all(self, table: str, keys: Iterable[str]) -> None:
        """Forget many keys of a table without path columns, rewriting compacted files once."""
        known, unwanted = table_named(table), frozenset(keys)
        names = [paths.file_name(known, key, {}) for key in unwanted]
        self._persistently(lambda: self._drop_compacted(known, unwanted))
        self._each(self.files.remove, names)

    def snapshot(self, table: str) -> Snapshot:
        """Decide for every key of a table which file it is read from."""
        return self._persistently(lambda: self._snapshot(table_named(table)))

    def _snapshot(self, known: Table) -> Snapshot:
        # Small files first: one that a compaction removes meanwhile is missed neither here nor there.
        entries = self._entries(known)
        taken = {entry.key for entry in entries}
        parts = []
        for name, keys in self._compacted(known).items():
            parts.append(Part(file=name, holds=keys, serves=keys - taken))
            taken |= keys
        return Snapshot(singles=entries, parts=tuple(parts))

    def dataset(self, table: str) -> ds.Dataset:
        """The table as an Arrow dataset whose path columns prune files; files are opened when scanned."""
        import pyarrow.dataset as ds  # imports pandas where that is installed: half a second

        known = table_named(table)
        snapshot = self.snapshot(table)
        whole = [part.file for part in snapshot.parts if part.serves == part.holds]
        names = whole + [entry.file for entry in snapshot.singles]
        if names:
            self._require_version(self._metadata(names[0]).get(b"schema_version", b"none").decode(), names[0])
        files = ds.FileSystemDataset.from_paths(
            [self.files.full(name) for name in names],
            schema=known.query_schema,
            format=ds.IpcFileFormat(),
            filesystem=self.files.filesystem,
            partitions=[pc.scalar(True)] * len(whole) + [_expression(entry) for entry in snapshot.singles],
        )
        overlapping = [self._served(known, p) for p in snapshot.parts if p.serves and p.serves != p.holds]
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
        return sum(self._persistently(partial(self._compact, table_named(name), at_least)) for name in names)

    def verify(self, *, repair: bool = False) -> list[Damage]:
        """Open and read every file, and name those that are truncated, corrupt or misplaced.

        Args:
            repair: move them below `_damaged/`, so that the next sweep computes them again, and remove what
                killed writers left behind.
        """
        damage = [*self._damage(TABLES), *self._damaged_blobs()]
        if repair:
            for found in damage:
                self.files.move(found.file, f"{DAMAGED}/{found.file}")
            self._clear_stale()
        return damage

    def _clear_stale(self) -> None:
        """Remove what killed writers left behind; younger files may belong to a writer that lives."""
        for name in self.files.stale(seconds=STALE_SECONDS):
            self.files.remove(name)

    def diagnose(self, tables: Iterable[str]) -> AuditError | None:
        """The error that names the first unreadable file of some tables, if there is one."""
        for found in self._damage(tables):
            return self._broken(found.file, found.reason)
        return None

    def put_blob(self, kind: str, key: str, data: bytes) -> None:
        """Publish bytes at once as `<kind>/<key>` with the suffix of the kind."""
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

    def has_blob(self, kind: str, key: str) -> bool:
        """Whether the blob is there."""
        return self.files.exists(paths.blob_name(kind, key))

    def delete_blob(self, kind: str, key: str) -> None:
        """Remove a blob; nothing happens where there is none."""
        self.files.remove(paths.blob_name(kind, key))

    def blob_keys(self, kind: str) -> set[str]:
        """Every key of a kind of blob."""
        suffix = paths.blob_suffix(kind)
        return {name.removesuffix(suffix) for name in self.files.names(kind) if name.endswith(suffix)}

    def _persistently(self, action: Callable[[], T]) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return action()
            except FileNotFoundError:
                continue
        return action()

    def _entries(self, table: Table) -> tuple[Entry, ...]:
        names = sorted(self.files.names(table.name))
        return tuple(entry for entry in (paths.parse(table, name) for name in names) if entry is not None)

    def _compacted(self, table: Table) -> dict[str, frozenset[str]]:
        """Compacted files and the keys they hold, most keys first."""
        if not table.compactable:
            return {}
        directory = f"{table.name}/{COMPACTED}"
        files = [f"{directory}/{name}" for name in self.files.names(directory) if name.endswith(".arrow")]
        held = {file: self._keys_held(file) for file in files}
        return dict(sorted(held.items(), key=lambda item: (-len(item[1]), item[0])))

    def _keys_held(self, file: str) -> frozenset[str]:
        if file not in self._held:  # such a name is never used again for other content
            self._held[file] = frozenset(self._metadata(file).get(b"keys", b"").decode().split())
        return self._held[file]

    def _read_key(self, table: Table, key: str, path: Mapping[str, str]) -> pa.Table:
        name = paths.file_name(table, key, path)
        if self.files.exists(name):
            arrow = self._load(table, name)
            return _with_path(table, arrow, {table.key: key, **path})
        for part, keys in self._compacted(table).items():
            if key in keys:
                return self._load(table, part).filter(pc.field(table.key) == key)
        raise UnknownName(f"{self.files.describe(table.name)}: no {table.key} '{key}' has finished")

    def _scan(self, table: Table) -> pa.Table:
        try:
            return self.dataset(table.name).to_table()
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise self.diagnose([table.name]) or error from error

    def _metadata(self, file: str) -> dict[bytes, bytes]:
        with self._opened(file) as reader:
            return reader.schema.metadata or {}

    def _opened(self, file: str) -> pa.ipc.RecordBatchFileReader:
        try:
            return pa.ipc.open_file(self.files.filesystem.open_input_file(self.files.full(file)))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise self._broken(file, error) from error

    def _load(self, table: Table, file: str) -> pa.Table:
        """A file in the schema of today."""
        with self._opened(file) as reader:
            version = (reader.schema.metadata or {}).get(b"schema_version", b"none").decode()
            self._require_version(version, file)
            try:
                return conform(reader.read_all(), table.file_schema)
            except (pa.ArrowException, OSError) as error:
                raise self._broken(file, error) from error

    def _served(self, table: Table, part: Part) -> pa.Table:
        arrow = self._load(table, part.file)
        return arrow.filter(pc.is_in(arrow[table.key], pa.array(sorted(part.serves), pa.string())))

    def _require_version(self, version: str, file: str) -> None:
        if version != str(SCHEMA_VERSION):
            raise WrongVersion(
                f"results: {self.files.describe(file)} has schema version {version}, this program reads "
                f"{SCHEMA_VERSION}: use another --out, or read it with the version of lethe that wrote it"
            )

    def _broken(self, file: str, reason: object) -> AuditError:
        return AuditError(
            f"results: cannot read {self.files.describe(file)} ({' '.join(str(reason).split())}); move it "
            f"aside with: python -m orchestrator.query --repair --results {self.root}"
        )

    def _compact(self, table: Table, at_least: int) -> int:
        snapshot = self._snapshot(table)
        few = max(at_least, 1)
        if len(snapshot.singles) < few and len(snapshot.parts) < 2:
            return 0
        # The stamps come first: a file that is written again after its stamp was taken is seen to differ.
        stamps = self._each(self.files.stamp, [entry.file for entry in snapshot.singles])
        loaded = self._each(lambda entry: self._load(table, entry.file), snapshot.singles)
        merged = [
            (entry, stamp, arrow)
            for entry, stamp, arrow in zip(snapshot.singles, stamps, loaded, strict=True)
            if not _failed(arrow)
        ]
        if len(merged) < few and len(snapshot.parts) < 2:
            return 0
        pieces = [self._served(table, part) for part in snapshot.parts if part.serves]
        pieces += [arrow for _, _, arrow in merged]
        keys = {entry.key for entry, _, _ in merged}.union(*(part.serves for part in snapshot.parts))
        self._publish(table, pa.concat_tables(pieces), keys)
        self._each(self.files.remove, [part.file for part in snapshot.parts])
        self._each(self._remove_unchanged, [(entry.file, stamp) for entry, stamp, _ in merged])
        return len(merged)

    def _remove_unchanged(self, known: tuple[str, tuple[int, ...] | None]) -> None:
        file, stamp = known
        if self.files.stamp(file) == stamp:
            self.files.remove(file)

    def _each(self, action: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """Apply an action to many files, several at a time where each costs a round trip."""
        if self.files.lanes == 1:
            return [action(item) for item in items]
        with ThreadPoolExecutor(self.files.lanes) as threads:
            return list(threads.map(action, items))

    def _drop_compacted(self, table: Table, unwanted: frozenset[str]) -> None:
        for name, keys in self._compacted(table).items():
            if keys & unwanted:
                if rest := keys - unwanted:
                    arrow = self._load(table, name)
                    kept = pc.is_in(arrow[table.key], pa.array(sorted(rest), pa.string()))
                    self._publish(table, arrow.filter(kept), rest)
                self.files.remove(name)

    def _publish(self, table: Table, arrow: pa.Table, keys: Iterable[str]) -> None:
        """Write a compacted file and return when it is durable."""
        metadata = {**(table.file_schema.metadata or {}), b"keys": "\n".join(sorted(keys)).encode()}
        directory = f"{table.name}/{COMPACTED}"
        name = f"{directory}/{secrets.token_hex(16)}.arrow"
        # One chunk, else every small file stays a batch of its own.
        self.files.write(name, _serialise(arrow.combine_chunks().replace_schema_metadata(metadata)))
        self.files.settle(directory)

    def _damage(self, tables: Iterable[str]) -> Iterator[Damage]:
        for name in tables:
            table = table_named(name)
            for directory in (name, f"{name}/{COMPACTED}"):
                for inside in sorted(self.files.names(directory)):
                    file = f"{directory}/{inside}"
                    misplaced = directory == name and paths.parse(table, inside) is None
                    reason = "not a result file" if misplaced else self._unreadable(table, file)
                    if reason:
                        yield Damage(file=file, reason=reason)

    def _damaged_blobs(self) -> Iterator[Damage]:
        """Tensors that are cut short, or not those that the row of their model names."""
        try:
            models = self.read("models").select(["model_id", "weights_digest"]).to_pylist()
        except AuditError:  # named among the damaged tables
            models = []
        digests = {row["model_id"]: row["weights_digest"] for row in models}
        for kind in TENSORS:
            for key in sorted(self.blob_keys(kind)):
                name = paths.blob_name(kind, key)
                data = memoryview(self.files.read(name))
                if not _whole_tensors(data):
                    yield Damage(file=name, reason="truncated or corrupt")
                elif kind == "weights" and digests.get(key) not in (None, hashlib.sha256(data).hexdigest()):
                    yield Damage(file=name, reason="not the weights that were written for this model")

    def _unreadable(self, table: Table, file: str) -> str:
        try:
            self._load(table, file).validate(full=True)
        except FileNotFoundError:  # a compaction has just taken it in
            return ""
        except WrongVersion:
            return "of another schema version"
        except (AuditError, pa.ArrowException):
            return "truncated or corrupt"
        return ""


class WrongVersion(AuditError):
    """A file was written under another schema version."""


def _whole_tensors(data: memoryview) -> bool:
    """Whether a safetensors file is as long as its header says."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False
    return len(data) == 8 + length + max(ends, default=0)


def _serialise(arrow: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, arrow.schema, options=IPC_OPTIONS) as writer:
        writer.write_table(arrow, max_chunksize=BATCH_ROWS)
    return sink.getvalue()


def _failed(arrow: pa.Table) -> bool:
    return arrow.schema.get_field_index("status") >= 0 and "failed" in arrow["status"].to_pylist()


def _expression(entry: Entry) -> pc.Expression:
    equalities = [pc.field(column) == value for column, value in entry.path.items()]
    expression = equalities[0] if equalities else pc.scalar(True)
    for equality in equalities[1:]:
        expression = expression & equality
    return expression


def _with_path(table: Table, arrow: pa.Table, values: Mapping[str, str]) -> pa.Table:
    for column in table.path:
        arrow = arrow.append_column(column, pa.array([values[column]] * len(arrow), pa.string()))
    return arrow.replace_schema_metadata(table.query_schema.metadata)
