"""Files of results in a directory on a local or network disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from orchestrator.store.files import MARKER, CannotWrite, NotAFile, reason_of
from orchestrator.store.holes import LARGE, mostly_holes
from orchestrator.store.modes import (
    FILE_MODES,
    PRIVATE,
    Share,
    create,
    make_directories,
    mode_beside,
    open_line,
    set_mode,
    set_modes,
)
from orchestrator.store.unfinished import DIRECTORY, FILE, abandoned, file_beside
from tasks.errors import AuditError
from tasks.runtime.time_limit import unlimited

DEPTH = 8
"""Directories in one another below a table; none has more than three."""
FULL = {errno.ENOSPC, errno.EDQUOT}


class LocalFiles:
    """A directory on a local or network disk."""

    lanes = 1

    def __init__(self, root: Path) -> None:
        self.root = root
        self.filesystem = pafs.LocalFileSystem()
        self._mode = PRIVATE  # of files before there is a marker

    def describe(self, path: str = "") -> str:
        return str(self.root / path)

    def full(self, path: str) -> str:
        return os.path.abspath(
            self.root / path
        )  # Arrow takes a relative a:b for a URI, and ~ for the home directory

    def usable(self) -> bool:
        return self.root.is_dir()

    def names(self, directory: str) -> Iterator[str]:
        folder = self.root / directory
        return iter(()) if folder != self.root and folder.is_symlink() else self._names(folder, "", DEPTH)

    def _names(self, directory: Path | str, prefix: str, depth: int) -> Iterator[str]:
        try:
            entries = os.scandir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise AuditError(f"results: cannot list {directory}: {reason_of(error)}") from error
        with entries:
            for entry in entries:
                if entry.name[0] in "._":
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    yield prefix + entry.name
                elif depth:
                    yield from self._names(entry.path, f"{prefix}{entry.name}/", depth - 1)

    def holds_directory(self, path: str) -> bool:
        place = self.root / path
        return not os.path.lexists(place) or (place.is_dir() and not place.is_symlink())

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path)

    def read(self, path: str) -> pa.Buffer:
        with self.open(path, whole=True) as source:
            return source.read_buffer()

    def open(self, path: str, *, whole: bool = False) -> pa.NativeFile:
        full = os.path.join(self.root, path)
        if not path.isprintable():  # so are halves of characters, which stand for bytes that are no UTF-8
            raise NotAFile(errno.EINVAL, "a name that no result file has", full)
        found = os.lstat(full)
        if stat.S_ISLNK(found.st_mode):
            raise NotAFile(errno.EINVAL, "a link: results hold files alone", full)
        if not stat.S_ISREG(found.st_mode):
            raise NotAFile(errno.EINVAL, "no regular file", full)
        if whole and found.st_size > LARGE and mostly_holes(full):
            raise NotAFile(errno.EINVAL, "mostly holes: its length is claimed and not written", full)
        return pa.OSFile(full)

    @unlimited()
    def write(self, path: str, data: bytes | pa.Buffer) -> None:
        target = self.root / path
        temporary = file_beside(target)
        try:
            mode = mode_beside(self.root / MARKER, self._mode)
            try:
                _write_synced(temporary, data, mode)
            except FileNotFoundError:
                make_directories(target.parent, mode)
                _write_synced(temporary, data, mode)
            os.replace(temporary, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise CannotWrite(f"results: cannot write {target}: {self._hint(error)}") from error

    def settle(self, directory: str) -> None:
        if os.name != "posix":  # directories cannot be opened elsewhere
            return
        descriptor = os.open(self.root / directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: str) -> None:
        try:
            (self.root / path).unlink(missing_ok=True)
            if DIRECTORY.fullmatch((self.root / path).parent.name):
                with contextlib.suppress(OSError):  # it holds more
                    (self.root / path).parent.rmdir()
        except OSError as error:
            raise CannotWrite(f"results: cannot remove {self.root / path}: {self._hint(error)}") from error

    def stamp(self, path: str) -> tuple[int, ...] | None:
        try:
            found = os.lstat(os.path.join(self.root, path))
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def size(self, path: str) -> int:
        return (self.stamp(path) or (0,))[-1]

    def _hint(self, error: OSError) -> str:
        """The reason, how much space is left where that is the reason, and what to do."""
        if error.errno not in FULL:
            return f"{reason_of(error)}; once it can be written the same command goes on"
        place = next(p for p in (self.root, *self.root.absolute().parents) if p.is_dir())
        usage = shutil.disk_usage(place)
        left = f"{usage.free / 2**20:.1f} of {usage.total / 2**20:,.0f} MiB are free"
        return f"{reason_of(error)} ({left}); with more space the same command goes on"

    def move(self, path: str, target: str) -> None:
        try:
            make_directories((self.root / target).parent, mode_beside(self.root / MARKER))
            os.replace(self.root / path, self.root / target)
        except OSError as error:
            raise CannotWrite(f"results: cannot move {self.root / path}: {self._hint(error)}") from error

    def share(self, share: Share, names: Iterable[str]) -> None:
        self._mode = FILE_MODES[share]
        try:
            make_directories(self.root, self._mode)
            set_mode(self.root.resolve(), self._mode)
            set_modes((self.root / name for name in names), self._mode)
        except OSError as error:
            raise CannotWrite(
                f"results: cannot change who may read {self.root}: {reason_of(error)}"
            ) from error

    def shared(self) -> Share | None:
        return None if mode_beside(self.root / MARKER, self._mode) == PRIVATE else "group"

    def open_root(self) -> str:
        return "" if self.shared() else open_line(self.root)

    def stale(self, *, seconds: float) -> list[str]:
        limit = time.time() - seconds
        found = []
        for directory, below, names in os.walk(self.root):
            place = Path(directory)
            if DIRECTORY.fullmatch(place.name) and place != self.root:
                found += [place / name for name in names if abandoned(place)]
                below.clear()
                continue
            # results of a search lie in results
            deep = len(place.parts) - len(self.root.parts) > 2 * DEPTH
            below[:] = [n for n in below if not deep and (n[0] != "." or DIRECTORY.fullmatch(n))]
            for path in (place / name for name in names if FILE.fullmatch(name)):
                with contextlib.suppress(FileNotFoundError):  # its writer has just finished
                    if path.stat().st_mtime < limit:
                        found.append(path)
        return sorted(path.relative_to(self.root).as_posix() for path in found)


def _write_synced(path: Path, data: bytes | pa.Buffer, mode: int) -> None:
    with create(path, mode, new=True) as sink:
        sink.write(memoryview(data).cast("B"))
        sink.flush()
        os.fsync(sink.fileno())
