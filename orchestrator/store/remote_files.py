"""Files of results under a prefix of an object store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.fs as pafs

from orchestrator.store.files import CannotWrite, reason_of
from orchestrator.store.modes import Share
from tasks.errors import AuditError
from tasks.runtime.time_limit import unlimited


class RemoteFiles:
    """A prefix of an object store, where a finished put is atomic and an unfinished one is invisible."""

    lanes = 16

    def __init__(self, filesystem: pafs.FileSystem, base: str, uri: str) -> None:
        self.filesystem = filesystem
        self._base = base.rstrip("/")
        self._uri = uri.rstrip("/")

    def describe(self, path: str = "") -> str:
        return f"{self._uri}/{path}".rstrip("/")

    def full(self, path: str) -> str:
        return f"{self._base}/{path}".rstrip("/")

    def usable(self) -> bool:
        return True

    def names(self, directory: str) -> Iterator[str]:
        base = self.full(directory)
        selector = pafs.FileSelector(base, recursive=True, allow_not_found=True)
        for info in self.filesystem.get_file_info(selector):
            name = info.path.lstrip("/")[len(base.lstrip("/")) :].lstrip("/")
            if info.type == pafs.FileType.File and not any(part[0] in "._" for part in name.split("/")):
                yield name

    def holds_directory(self, path: str) -> bool:
        return True

    def exists(self, path: str) -> bool:
        return self.filesystem.get_file_info(self.full(path)).type == pafs.FileType.File

    def open(
        self, path: str, *, whole: bool = False
    ) -> pa.NativeFile:  # an object store holds whole objects alone
        return self.filesystem.open_input_file(self.full(path))

    def read(self, path: str) -> pa.Buffer:
        with self.open(path) as source:
            return source.read_buffer()

    @unlimited()
    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        target = self.full(path)
        try:
            try:
                self._put(target, data)
            except FileNotFoundError:  # stores that do have directories want them first
                self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
                self._put(target, data)
        except (OSError, pa.ArrowException) as error:
            raise self._refused("write", path, error) from error

    def _put(self, target: str, data: bytes | pa.Buffer) -> None:
        sink = self.filesystem.open_output_stream(target)
        try:
            sink.write(data)
        except BaseException:
            sink.close()  # publishes what was sent: only a whole file may stay
            self.filesystem.delete_file(target)
            raise
        sink.close()

    def settle(self, directory: str) -> None:
        """A put that returned is durable."""

    def remove(self, path: str) -> None:
        try:
            if self.exists(path):
                self.filesystem.delete_file(self.full(path))
        except FileNotFoundError:  # another process has just removed it
            return
        except (OSError, pa.ArrowException) as error:
            raise self._refused("remove", path, error) from error

    def stamp(self, path: str) -> tuple[int, ...] | None:
        info = self.filesystem.get_file_info(self.full(path))
        return (info.mtime_ns or 0, info.size) if info.type == pafs.FileType.File else None

    def size(self, path: str) -> int:
        return (self.stamp(path) or (0,))[-1]

    def _refused(self, action: str, path: str, error: Exception) -> CannotWrite:
        what = f"results: cannot {action} {self.describe(path)}: {reason_of(error)}"
        return CannotWrite(f"{what}; once it can be written the same command goes on")

    def move(self, path: str, target: str) -> None:
        self.write(target, self.read(path))
        self.remove(path)

    def share(self, share: Share, names: Iterable[str]) -> None:
        raise AuditError(f"--share: {self._uri} has no file modes: who may read is set at the object store")

    def shared(self) -> Share | None:
        return None

    def open_root(self) -> str:
        return ""

    def stale(self, *, seconds: float) -> list[str]:
        return []
