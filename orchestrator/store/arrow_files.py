"""One Arrow file of the results: written with its name and checksum, read in the schema of today, and judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from orchestrator.store.checksum import BLANK, intact, seal
from orchestrator.store.files import Files, files_at
from orchestrator.store.schema import SCHEMA_VERSION, Table, conform
from tasks.errors import AuditError

S = TypeVar("S")
T = TypeVar("T")

MISPLACED = "what was written as"
BATCH_ROWS = 131_072
IPC_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd", unify_dictionaries=True)


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
        self.root = str(root)
        self.files: Files = files_at(root)
        self._held: dict[str, frozenset[str]] = {}

    def load(self, table: Table, file: str) -> pa.Table:
        """A file in the schema of today.

        Raises:
            FileNotFoundError: there is none of this name.
            AuditError: it is truncated, corrupt or of another schema version.
        """
        with self._opened(file) as reader:
            version = (reader.schema.metadata or {}).get(b"schema_version", b"none").decode()
            self.require_version(version, file)
            try:
                return conform(reader.read_all(), table.file_schema)
            except (pa.ArrowException, OSError) as error:
                raise self.broken(file, error) from error

    def load_whole(self, table: Table, file: str) -> pa.Table:
        """The same, once its checksum holds: what is written anew must not carry a damage on.

        Raises:
            FileNotFoundError: there is none of this name.
            AuditError: it is damaged, cannot be read, or is of another schema version.
        """
        if reason := self.damage(table, file):
            raise self.broken(file, reason)
        return self.load(table, file)

    def write(self, file: str, arrow: pa.Table) -> None:
        """Publish a file at once, in place of an earlier one."""
        own = {b"file": file.encode(), b"checksum": BLANK}
        schema = arrow.schema.with_metadata({**(arrow.schema.metadata or {}), **own})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, schema, options=IPC_OPTIONS) as writer:
            writer.write_table(arrow, max_chunksize=BATCH_ROWS)
        self.files.write(file, seal(sink.getvalue()))

    def damage(self, table: Table, file: str) -> str:
        """What is wrong with a file; empty where it is as it was written, under the name that it was given.

        Raises:
            FileNotFoundError: there is none of this name.
            Unreadable: it cannot be opened, which says nothing of its content.
        """
        try:
            content = self.files.read(file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self.unreadable(file, error) from error
        try:
            schema = pa.ipc.open_file(pa.BufferReader(content)).schema
        except (pa.ArrowException, OSError):
            return "truncated or corrupt"
        metadata = schema.metadata or {}
        if metadata.get(b"schema_version") != str(SCHEMA_VERSION).encode():
            return "of another schema version"
        if not intact(content, metadata.get(b"checksum", b"")):
            return "changed since it was written"
        if metadata.get(b"file") != file.encode() or metadata.get(b"table") != table.name.encode():
            return f"{MISPLACED} {metadata.get(b'file', b'').decode()}"
        return ""

    def metadata(self, file: str) -> dict[bytes, bytes]:
        """What the schema of a file carries besides its columns."""
        with self._opened(file) as reader:
            return reader.schema.metadata or {}

    def keys_held(self, file: str) -> frozenset[str]:
        """The keys that a compacted file lists."""
        if file not in self._held:  # such a name is never used again for other content
            self._held[file] = frozenset(self.metadata(file).get(b"keys", b"").decode().split())
        return self._held[file]

    def require_version(self, version: str, file: str) -> None:
        """Refuse a file that another schema version wrote."""
        if version != str(SCHEMA_VERSION):
            raise WrongVersion(
                f"results: {self.files.describe(file)} has schema version {version}, this program reads "
                f"{SCHEMA_VERSION}: use another --out, or read it with the version of lethe that wrote it"
            )

    def broken(self, file: str, reason: object) -> AuditError:
        """The error that names a file which cannot be read."""
        return AuditError(
            f"results: cannot read {self.files.describe(file)} ({' '.join(str(reason).split())}); move it "
            f"aside with: python -m orchestrator.query --repair --results {self.root}"
        )

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

    def _opened(self, file: str) -> pa.ipc.RecordBatchFileReader:
        try:
            return pa.ipc.open_file(self.files.filesystem.open_input_file(self.files.full(file)))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise self.unreadable(file, error) from error
            raise self.broken(file, error) from error
