"""Arrays of .npy and .npz files: what a header claims is held against the bytes, then memory is taken."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from tasks.errors import AuditError

DAMAGES = (
    *(ValueError, OSError, EOFError, KeyError, OverflowError, RecursionError, MemoryError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, tokenize.TokenError),
)
"""What a damaged, encrypted or oddly compressed file makes NumPy and zipfile raise."""
TOLD = 200
"""Characters of a reason that are shown: it may repeat what the file holds."""


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file.

    Raises:
        AuditError: it cannot be read, is a pickle, or is not as long as its header says.
    """
    with reading(f"{path}: cannot read this array"), path.open("rb") as file:
        if file.read(2) == b"PK":
            raise ValueError("expected one array, got an archive")
        file.seek(0)
        _checked_shape(file, os.fstat(file.fileno()).st_size)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def map_npy(path: Path) -> np.ndarray:
    """The array of a .npy file, mapped: nothing is in memory until it is looked at.

    Raises:
        AuditError: as `read_npy`; it may be larger than the memory.
    """
    with reading(f"{path}: cannot read this array"), path.open("rb") as file:
        if file.read(2) == b"PK":
            raise ValueError("expected one array, got an archive")
        file.seek(0)
        _checked_shape(file, os.fstat(file.fileno()).st_size, mapped=True)
        return np.lib.format.open_memmap(path, mode="r")


def npz_names(path: Path) -> list[str]:
    """Names of the arrays in a .npz file.

    Raises:
        AuditError: it is no zip archive.
    """
    with reading(f"{path}: expected a .npz file (a zip of arrays)"), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_npz(path: Path, name: str) -> np.ndarray:
    """One array of a .npz file.

    Raises:
        AuditError: it cannot be read, is a pickle, is not as long as its header says, or larger than the memory.
    """
    with reading(f"{path}: cannot read array '{name}'"), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            _checked_shape(file, member.file_size)
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def npz_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of an array of a .npz file, from its header alone.

    Raises:
        AuditError: as `read_npz`.
    """
    with reading(f"{path}: cannot read array '{name}'"), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        with archive.open(member) as file:
            return _checked_shape(file, member.file_size)


def _checked_shape(file: IO[bytes], length: int, *, mapped: bool = False) -> tuple[int, ...]:
    first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    claimed = file.tell() + math.prod(shape) * dtype.itemsize
    if claimed != length or min(shape, default=0) < 0 or not dtype.itemsize:
        raise ValueError(f"{dtype} of shape {shape} takes {claimed} bytes, the file has {length}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if claimed > memory and not mapped:
        raise ValueError(
            f"{dtype} of shape {shape} takes {claimed} bytes, this machine has {memory} of memory"
        )
    return tuple(shape)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Say what could not be read where a file is damaged; whatever NumPy and zipfile raise becomes one line."""
    try:
        yield
    except DAMAGES as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise AuditError(f"{what}: {reason or type(error).__name__:.{TOLD}}") from None
