"""One Arrow file of the results: read in the schema of today, written, and named where it cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from orchestrator.store.files import files_at
from orchestrator.store.place import Files
from orchestrator.store.schema import SCHEMA_VERSION, Table, conform
from tasks.errors import AuditError

S = TypeVar("S")
T = TypeVar("T")

BATCH_ROWS = 131_072
IPC_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd", unify_dictionaries=True)


class WrongVersion(AuditError):
    """A file was written under another schema version."""


class ArrowFiles:
    """Reads and writes single Arrow files under one root; names are relative to it.

    Args:
        root: a directory, or a URI such as s3://bucket/prefix. Nothing is created before the first write.
    """

    def __init__(self, root: str) -> None:
        self.root = str(root)
        self.files: Files = files_at(root)
        self._held: dict[str, frozenset[str]] = {}
        self._sound: dict[str, tuple[int, ...] | None] = {}

    def load(self, table: Table, file: str) -> pa.Table:
        """A file in the schema of today.

        Raises:
            FileNotFoundError: there is none of this name.
            AuditError: it is truncated, corrupt or of another schema version.
        """
        with self._opened(file) as reader:
            self.require_version(_version(reader.schema.metadata), file)
            try:
                arrow = reader.read_all()
                arrow.validate(full=True)  # what follows trusts lengths, offsets and text
                return conform(arrow, table.file_schema)
            except (pa.ArrowException, OSError, MemoryError) as error:
                raise self.broken(file, error) from error

    def check(self, file: str) -> None:
        """Refuse a file that a scan would trust: Arrow and DuckDB read past the end of what claims too many rows.

        It is read once more for that, a second a gigabyte, and again only when it was written anew.

        Raises:
            FileNotFoundError: there is none of this name.
            NotAFile: it is none that can be opened.
            AuditError: it is truncated, corrupt or of another schema version.
        """
        stamp = self.files.stamp(file)
        if self._sound.get(file) == stamp:
            return
        with self._opened(file) as reader:
            self.require_version(_version(reader.schema.metadata), file)
            try:
                for place in range(reader.num_record_batches):
                    reader.get_batch(place).validate(full=True)
            except (pa.ArrowException, OSError, MemoryError) as error:
                raise self.broken(file, error) from error
        self._sound[file] = stamp

    def write(self, file: str, arrow: pa.Table) -> None:
        """Publish a file at once, in place of an earlier one."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, arrow.schema, options=IPC_OPTIONS) as writer:
            writer.write_table(arrow, max_chunksize=BATCH_ROWS)
        self.files.write(file, sink.getvalue())

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

    def each(self, action: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """Apply an action to many files, several at a time where each costs a round trip."""
        if self.files.lanes == 1:
            return [action(item) for item in items]
        with ThreadPoolExecutor(self.files.lanes) as threads:
            return list(threads.map(action, items))

    def _opened(self, file: str) -> pa.ipc.RecordBatchFileReader:
        try:
            self.files.check(file)
            return pa.ipc.open_file(self.files.filesystem.open_input_file(self.files.full(file)))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise self.broken(file, error) from error


def _version(metadata: dict[bytes, bytes] | None) -> str:
    return (metadata or {}).get(b"schema_version", b"none").decode(errors="replace")
