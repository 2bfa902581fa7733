"""Read named files of a data set from a directory or from its .tar.gz, in memory, extracting nothing."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.errors import AuditError

_NAMES_AND_TEXT = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FileSize:
    """How many bytes a file must have."""

    smallest: int = 1
    largest: int = _NAMES_AND_TEXT

    def check(self, actual: int, *, where: str) -> None:
        """Raise AuditError that names the file, the expected and the actual size."""
        if self.smallest <= actual <= self.largest:
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
    """Read the members of `sizes` that a (compressed) tar file holds; absent ones are left out.

    Members are matched by their exact path and read in memory: a path that leads outside the archive, or
    a link in the place of a file, is refused.

    Raises:
        AuditError: the archive is damaged, a member is unsafe or has the wrong size.
    """
    contents = {}
    try:
        with tarfile.open(path, mode="r|*") as archive:
            for member in archive:
                name = _safe_name(member, path)
                if name in sizes:
                    sizes[name].check(member.size, where=f"{path}: {name}")
                    contents[name] = _read_member(archive, member, path)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        size = path.stat().st_size
        raise AuditError(f"{path}: damaged or truncated archive of {size} bytes: {error}") from None
    return contents


def _safe_name(member: tarfile.TarInfo, path: Path) -> str:
    name = PurePosixPath(member.name.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise AuditError(
            f"{path}: member '{member.name}' leads outside the archive; it is not an official one"
        )
    return str(name)


def _read_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    stream = archive.extractfile(member) if member.isreg() else None
    if stream is None:
        raise AuditError(f"{path}: member '{member.name}' is not a regular file")
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
