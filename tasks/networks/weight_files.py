"""Files of weights that training starts from: safetensors, read without running anything. Imports no torch."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tasks.datasets.archive import contents_digest, file_digest
from tasks.errors import AuditError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".tar")


def weight_file(text: str) -> Path:
    """The one file of weights of a model of timm.

    Raises:
        AuditError: there is none, or it is a pickle, a folder, an index of shards or of another kind.
    """
    path = Path(os.path.expanduser(text))
    if path.suffix.lower() in PICKLES:
        raise AuditError(
            f"weights: {path} is a pickle, which may run code; expected FILE.safetensors: safetensors.torch.save_file("
            'torch.load("FILE", weights_only=True), "FILE.safetensors") writes one from a state dict'
        )
    if path.name.endswith(".index.json"):
        raise AuditError(
            f"weights: {path} is an index of shards; expected one file: save all tensors into it"
        )
    if path.is_dir():
        raise AuditError(f"weights: {path} is a folder; expected the path of FILE.safetensors in it")
    if not path.is_file():
        raise AuditError(f"weights: no file {path}; nothing is downloaded")
    if path.suffix != ".safetensors":
        raise AuditError(f"weights: expected FILE.safetensors, got {path}")
    return path


def tensor_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor in safetensors files, which their headers tell; the tensors are not read.

    Raises:
        AuditError: a file is cut or no safetensors.
    """
    from safetensors import SafetensorError, safe_open  # numpy: not for a plan without weights

    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, framework="numpy") as opened:
                found |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise AuditError(f"weights: cannot read {file}: {error!s:.200}") from None
    return found


def tensor_types(files: Iterable[Path]) -> set[str]:
    """Types of the tensors in safetensors files as their headers name them, such as F32 and BF16."""
    from safetensors import safe_open

    found: set[str] = set()
    for file in files:
        with safe_open(file, framework="numpy") as opened:
            found |= {opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
    return found


class FileState(NamedTuple):
    """Of a file, what does not stay as it is when somebody writes to it."""

    size: int
    modified: int
    changed: int
    inode: int


class Known(NamedTuple):
    """Digest of files, and the state in which they had it."""

    state: tuple[FileState, ...]
    digest: str


Digests = Mapping[tuple[str, ...], Known]
"""By what was made of which files."""
NOTHING_READ: Digests = {}
_KNOWN: dict[tuple[str, ...], Known] = {}
"""Of this process: each file is read once for its digest, as long as nobody writes to it."""


def files_digest(files: Iterable[Path]) -> str:
    """SHA-256 of names and bytes of files; read again when one of them has changed."""
    found = tuple(files)
    return _digest("files", found, lambda: contents_digest((file.name, file) for file in found))


def content_digest(file: Path) -> str:
    """SHA-256 of the bytes of one file, wherever it lies and whatever it is called; read again when it has changed."""
    return _digest("content", (file,), lambda: file_digest(file))


def known_digests() -> Digests:
    """What this process knows, for others, which then need not read the files."""
    return dict(_KNOWN)


def take_digests(digests: Digests) -> None:
    """Take what another process knows: of files that are here in the state in which it has read them."""
    _KNOWN.update(digests)


def check_digests(digests: Digests) -> None:
    """Check that this process has found the files that another has read, as far as it has asked for them.

    Raises:
        AuditError: here lies another file under the same name.
    """
    for key, known in digests.items():
        if _KNOWN.get(key, known).digest != known.digest:
            raise AuditError(
                f"{key[-1]}: {platform.node()} has another file under this name than the machine that started the "
                "sweep, or it was edited since; expected the same on every node"
            )


def _digest(kind: str, files: tuple[Path, ...], read: Callable[[], str]) -> str:
    state, key = tuple(map(_state, files)), (kind, *map(str, files))
    if key not in _KNOWN or _KNOWN[key].state != state:
        _KNOWN[key] = Known(state, read())
    return _KNOWN[key].digest


def _state(file: Path) -> FileState:
    found = file.stat()
    return FileState(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
