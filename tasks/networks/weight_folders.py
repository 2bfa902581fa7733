"""Folders of weights as save_pretrained writes them: which files they are, and their digest. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.errors import AuditError
from tasks.networks.weight_files import PICKLES, files_digest

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def json_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds.

    Raises:
        AuditError: it is no JSON, or no object.
    """
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{path}: expected a JSON object: {error!s:.200}") from None
    if not isinstance(found, dict):
        raise AuditError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def weight_files(folder: Path) -> list[Path]:
    """The files of weights in a folder: one, or the shards that the index names.

    Raises:
        AuditError: there is no folder, or it holds none, or pickles alone, adapters, or too few shards.
    """
    if not folder.is_dir():
        raise AuditError(f"weights: no folder {folder}; nothing is downloaded")
    if (folder / "adapter_config.json").exists():
        raise AuditError(
            f"weights: {folder} holds adapters; expected whole weights: merge_and_unload, then save"
        )
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    if (folder / _INDEX).is_file():
        return _shards(folder)
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise AuditError(
            f"weights: {folder}/{pickles[0]} is a pickle, which may run code; expected {_WHOLE}: save_pretrained "
            "writes it"
        )
    raise AuditError(f"weights: expected {_WHOLE} or {_INDEX} in {folder}, found neither")


def _shards(folder: Path) -> list[Path]:
    index = json_object(folder / _INDEX).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise AuditError(f"{folder / _INDEX}: expected a weight_map")
    names = sorted(set(map(str, index.values())))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise AuditError(f"{folder / _INDEX}: expected names of safetensors files, got '{name:.80}'")
        if not (folder / name).is_file():
            raise AuditError(f"{folder / _INDEX}: no file {name}, one of {len(names)} shards")
    return [folder / name for name in names]


def weights_digest(folder: Path) -> str:
    """SHA-256 of configuration and weights of a folder; read again when one of the files has changed."""
    files = [folder / "config.json", *weight_files(folder)]
    index = folder / _INDEX
    files += [index] if files[1:] != [folder / _WHOLE] else []
    return files_digest(files)
