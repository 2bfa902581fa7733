"""One Arrow file of the results: written with its name and checksum, read in the schema of today, and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from orchestrator.store.arrow_claims import require_affordable
from orchestrator.store.checksum import BLANK, intact, seal
from orchestrator.store.files import Files, NotAFile, reason_of
from orchestrator.store.root import files_at, rooted
from orchestrator.store.schema import SCHEMA_VERSION, Table, conform
from tasks.errors import AuditError

S = TypeVar("S")
T = TypeVar("T")

MISPLACED = "what was written as"
OTHER_VERSION = "of another schema version"
BATCH_ROWS = 131_072
SMALL = 1 << 20
"""Bytes: a file of no more is read by one thread at once, rows of no more are compressed by LZ4."""


class WrongVersion(AuditError):
    """A file was written under another schema version."""


class Unreadable(AuditError):
    """A file cannot be opened: it is another user's, or out of reach. It may be whole."""


class ArrowFiles:
    """Reads and writes single Arrow files under one root; names are relative to it.

    Args:
        root: a directory, or a URI such as s3://bucket/prefix. Nothing is created before the first write.
    """

    def __init__(self, root: str) -> None:
        self.root = rooted(root)
        self.files: Files = files_at(root)
        self._held: dict[str, frozenset[str]] = {}
        self._sound: dict[str, tuple[int, ...] | None] = {}

    def load(self, table: Table, file: str) -> pa.Table:
        """A file in the schema of today.

        Raises:
            FileNotFoundError: there is none of this name.
            AuditError: it is truncated, corrupt or of another schema version.
        """
        with self._rows_of(table, file) as reader:
            self.require_version(_version(reader.schema.metadata), file)
            return self._rows(table, file, reader)

    def load_whole(self, table: Table, file: str) -> pa.Table:
        """The same, once its checksum holds: what is written anew must not carry a damage on.

        Raises:
            FileNotFoundError: there is none of this name.
            AuditError: it is damaged, cannot be read, or is of another schema version.
        """
        try:
            content = self._content(table, file)
        except (NotAFile, ValueError) as error:
            raise self.refusal(file, error) from error
        if reason := self._damage(table, file, content):
            raise self.broken(file, reason)
        with pa.ipc.open_file(pa.BufferReader(content)) as reader:
            return self._rows(table, file, reader)

    def check(self, table: Table, file: str) -> None:
        """Refuse a file that a scan would trust: Arrow and DuckDB read past the end of what claims too many rows.

        It is read once more for that, a second a gigabyte, and again only when it was written anew.

        Raises:
            FileNotFoundError: there is none of this name.
            NotAFile: it is none that can be opened.
            AuditError: it is truncated, corrupt or of another schema version.
        """
        stamp = self.files.stamp(file)
        if stamp is not None and self._sound.get(file) == stamp:
            return
        with self._rows_of(table, file) as reader:
            self.require_version(_version(reader.schema.metadata), file)
            try:
                for _ in _batches(reader):
                    pass
            except (pa.ArrowException, OSError, MemoryError) as error:
                raise self.broken(file, error) from error
        self._sound[file] = stamp

    def write(self, file: str, arrow: pa.Table) -> None:
        """Publish a file at once, in place of an earlier one."""
        own = {b"file": file.encode(), b"checksum": BLANK}
        schema = arrow.schema.with_metadata({**(arrow.schema.metadata or {}), **own})
        sink = pa.BufferOutputStream()
        # Zstandard begins anew for each buffer: of few rows it takes five times as long as LZ4, for a tenth less.
        compression = "lz4" if arrow.nbytes <= SMALL else "zstd"
        options = pa.ipc.IpcWriteOptions(compression=compression, unify_dictionaries=True)
        with pa.ipc.new_file(sink, schema, options=options) as writer:
            writer.write_table(arrow, max_chunksize=BATCH_ROWS)
        self.files.write(file, seal(sink.getvalue()))

    def damage(self, table: Table, file: str) -> str:
        """What is wrong with a file; empty where it is as it was written, under the name that it was given.

        Raises:
            FileNotFoundError: there is none of this name.
            Unreadable: it cannot be opened, which says nothing of its content.
        """
        try:
            return self._damage(table, file, self._content(table, file))
        except NotAFile as error:
            return str(error.strerror)
        except ValueError as error:
            return f"truncated or corrupt: {reason_of(error):.200}"

    def _damage(self, table: Table, file: str, content: pa.Buffer) -> str:
        try:
            schema = pa.ipc.open_file(pa.BufferReader(content)).schema
        except (pa.ArrowException, OSError):
            return "truncated or corrupt"
        metadata = schema.metadata or {}
        if metadata.get(b"schema_version") != str(SCHEMA_VERSION).encode():
            return OTHER_VERSION
        if not intact(content, metadata.get(b"checksum", b"")):
            return "changed since it was written"
        if metadata.get(b"file") != file.encode() or metadata.get(b"table") != table.name.encode():
            return f"{MISPLACED} {metadata.get(b'file', b'').decode(errors='replace')}"
        try:
            with _reader(pa.BufferReader(content)) as reader:
                for batch in _batches(reader):
                    conform(pa.Table.from_batches([batch]), table.file_schema)
        except (pa.ArrowException, OSError, MemoryError) as error:  # whoever sealed it
            return f"no rows of this table: {reason_of(error):.100}"
        return ""

    def metadata(self, file: str) -> dict[bytes, bytes]:
        """What the schema of a file carries besides its columns."""
        with self._opened(file) as reader:
            return reader.schema.metadata or {}

    def keys_held(self, file: str) -> frozenset[str]:
        """The keys that a compacted file lists."""
        if file not in self._held:  # such a name is never used again for other content
            self._held[file] = frozenset(
                self.metadata(file).get(b"keys", b"").decode(errors="replace").split()
            )
        return self._held[file]

    def require_version(self, version: str, file: str) -> None:
        """Refuse a file that another schema version wrote."""
        if version != str(SCHEMA_VERSION):
            raise WrongVersion(
                f"results: {self.files.describe(file)} has schema version {version:.20}, this program reads "
                f"{SCHEMA_VERSION}: use another --out, or read it with the version of lethe that wrote it"
            )

    def broken(self, file: str, reason: object) -> AuditError:
        """The error that names a file which cannot be read."""
        return AuditError(
            f"results: cannot read {self.files.describe(file)} ({' '.join(str(reason).split()):.300}); move it "
            f"aside with: python -m orchestrator.query --repair --results {self.root}"
        )

    def refusal(self, file: str, error: Exception) -> AuditError:
        """The error for a file that could not be opened: damaged, or merely out of reach."""
        if isinstance(error, NotAFile):
            return self.broken(file, error.strerror)
        if isinstance(error, OSError) and error.errno:
            return self.unreadable(file, error)
        return self.broken(file, error)

    def unreadable(self, file: str, error: OSError) -> Unreadable:
        """The error that names a file which this user, or this machine, cannot open."""
        return Unreadable(
            f"results: cannot read {self.files.describe(file)}: {error.strerror or error}; nothing says that it is "
            "damaged: ask its owner to share it, or read it from where it can be reached"
        )

    def each(self, action: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """Apply an action to many files, several at a time where each costs a round trip."""
        if self.files.lanes == 1:
            return [action(item) for item in items]
        with ThreadPoolExecutor(self.files.lanes) as threads:
            return list(threads.map(action, items))

    def _content(self, table: Table, file: str) -> pa.Buffer:
        """A whole file, once it is known to ask for no more memory than it may.

        Raises:
            ValueError: it asks for more, or it is no Arrow file.
        """
        try:
            with self._affordable(table, file) as source:
                return source.read_buffer()
        except (FileNotFoundError, NotAFile):
            raise
        except OSError as error:
            raise self.unreadable(file, error) from error

    def _rows(self, table: Table, file: str, reader: pa.ipc.RecordBatchFileReader) -> pa.Table:
        try:
            arrow = reader.read_all()
            arrow.validate(full=True)  # what follows trusts lengths, offsets and text
            return conform(arrow, table.file_schema)
        except (pa.ArrowException, OSError, MemoryError) as error:
            raise self.broken(file, error) from error

    def _opened(self, file: str) -> pa.ipc.RecordBatchFileReader:
        """A reader of what the schema of a file says."""
        try:
            return pa.ipc.open_file(self.files.open(file))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise self.refusal(file, error) from error

    def _rows_of(self, table: Table, file: str) -> pa.ipc.RecordBatchFileReader:
        """A reader of all rows of a file."""
        try:
            reader = _reader(self._affordable(table, file))
            _ = reader.schema.names  # a damaged one is no text, which shows when it is asked for
            return reader
        except FileNotFoundError:
            raise
        except (ValueError, pa.ArrowException, OSError) as error:
            raise self.refusal(file, error) from error

    def _affordable(self, table: Table, file: str) -> pa.NativeFile:
        """A file that asks for no more memory than its length, of which a hole may be any part, can account for.

        Raises:
            ValueError: it asks for more, or it is no Arrow file.
        """
        source = self.files.open(file)
        # Each look at a remote file is a round trip, each at a local one a call of the system.
        if self.files.lanes > 1 or source.size() <= SMALL:
            content = source.read_buffer()
            require_affordable(content, columns=len(table.columns))
            return pa.BufferReader(content)
        require_affordable(source, columns=len(table.columns))
        return source


def _reader(source: pa.NativeFile) -> pa.ipc.RecordBatchFileReader:
    """Threads take longer to hand columns over than a small file takes to unpack."""
    return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(use_threads=source.size() > SMALL))


def _batches(reader: pa.ipc.RecordBatchFileReader) -> Iterator[pa.RecordBatch]:
    """Batches whose lengths, offsets and text hold, which what reads them trusts."""
    for place in range(reader.num_record_batches):
        batch = reader.get_batch(place)
        batch.validate(full=True)
        yield batch


def _version(metadata: dict[bytes, bytes] | None) -> str:
    return (metadata or {}).get(b"schema_version", b"none").decode(errors="replace")
