"""Files of weights that training starts from: safetensors, read without running anything. Imports no torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path

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


def files_digest(files: Iterable[Path]) -> str:
    """SHA-256 of names and bytes of files; read again when one of them has changed."""
    return _digest(tuple((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@functools.lru_cache(maxsize=8)
def _digest(state: tuple[tuple[Path, int, int], ...]) -> str:
    return contents_digest((file.name, file) for file, _, _ in state)


def content_digest(file: Path) -> str:
    """SHA-256 of the bytes of one file, wherever it lies and whatever it is called; read again when it has changed."""
    return _content(file, file.stat().st_mtime_ns, file.stat().st_size)


@functools.lru_cache(maxsize=8)
def _content(file: Path, _changed: int, _size: int) -> str:
    return file_digest(file)
