"""Read named files of a data set from a directory or from its .tar.gz, in memory, extracting nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tasks.errors import AuditError

_NAMES_AND_TEXT = 1 << 20
_BESIDE = 1 << 24
_MEMBERS = 10_000
"""Bytes, and files, of an archive for headers and files that nobody asked for."""


@dataclass(frozen=True, kw_only=True)
class FileSize:
    """How many bytes a file must have."""

    smallest: int = 1
    largest: int = _NAMES_AND_TEXT
    record: int = 1
    """Bytes of one record, of which there is a whole number."""

    def check(self, actual: int, *, where: str) -> None:
        """Raise AuditError that names the file, the expected and the actual size."""
        if self.smallest <= actual <= self.largest:
            if actual % self.record:
                raise AuditError(
                    f"{where}: expected a whole number of records of {self.record} bytes, got {actual} bytes"
                )
            return
        wanted = str(self.smallest) if self.smallest == self.largest else f"{self.smallest} to {self.largest}"
        raise AuditError(f"{where}: expected {wanted} bytes, got {actual}")


def read_directory(folder: Path, sizes: Mapping[str, FileSize]) -> dict[str, bytes]:
    """Read the files of `sizes` from a directory, each checked before it is read.

    Raises:
        AuditError: a file is missing or has the wrong size.
    """
    contents = {}
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            raise AuditError(f"{path}: missing; expected {size.smallest} bytes or more in {folder}")
        size.check(path.stat().st_size, where=str(path))
        contents[name] = path.read_bytes()
    return contents


def read_tar(path: Path, sizes: Mapping[str, FileSize]) -> dict[str, bytes]:
    """Read the members of `sizes` that a tar file, or one in gzip, holds; absent ones are left out.

    Members are matched by their exact path and read in memory: a path that leads outside the archive, or
    a link in the place of a file, is refused.

    Raises:
        AuditError: the archive is damaged or much larger than these, a member is unsafe or has the wrong size.
    """
    contents = {}
    most = sum(size.largest for size in sizes.values()) + _BESIDE
    try:
        with _unpacked(path) as file, tarfile.open(fileobj=_Bounded(file, most), mode="r|") as archive:
            for number, member in enumerate(archive):
                if number > _MEMBERS:
                    raise tarfile.ReadError(f"expected at most {_MEMBERS} files in it")
                name = _safe_name(member, path)
                if name in sizes:
                    sizes[name].check(member.size, where=f"{path}: {name}")
                    contents[name] = _read_member(archive, member, path)
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, RecursionError) as error:
        size = path.stat().st_size
        raise AuditError(f"{path}: damaged or truncated archive of {size} bytes: {error!s:.200}") from None
    return contents


class _Bounded(io.RawIOBase):
    """The bytes of a file up to so many: tarfile holds headers of any length, and skips members of any length."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, most: int) -> None:
        self._file, self._left, self._most = file, most, most

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError(f"expected at most {self._most} bytes in it")
        return data


def _unpacked(path: Path) -> BinaryIO | gzip.GzipFile:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def _safe_name(member: tarfile.TarInfo, path: Path) -> str:
    name = PurePosixPath(member.name.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise AuditError(
            f"{path}: member '{member.name:.100}' leads outside the archive; it is not an official one"
        )
    return str(name)


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None:
        raise AuditError(f"{path}: member '{member.name:.100}' is not a regular file")
    return stream.read()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents_digest(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 over the names and bytes of several files, in the given order, hexadecimal."""
    sha = hashlib.sha256()
    for name, path in files:
        sha.update(f"{name}\0{file_digest(path)}\n".encode())
    return sha.hexdigest()
