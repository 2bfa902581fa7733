"""Folders of weights as save_pretrained writes them: which files they are, and their digest. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.errors import AuditError, and_more
from tasks.networks.weight_files import PICKLES, files_digest, tensor_shapes

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
        AuditError: there is no folder, or it holds none, or pickles alone, adapters, or shards that are not those of
            the index; or both a whole file and an index, of which one may be left from another save.
    """
    if not folder.is_dir():
        raise AuditError(f"weights: no folder {folder}; nothing is downloaded")
    if (folder / "adapter_config.json").exists():
        raise AuditError(
            f"weights: {folder} holds adapters; expected whole weights: merge_and_unload, then save"
        )
    whole, index = (folder / _WHOLE).is_file(), (folder / _INDEX).is_file()
    if whole and index:
        raise AuditError(
            f"weights: {folder}: expected {_WHOLE} or {_INDEX}, got both; delete the one that is of another save"
        )
    if whole:
        return [folder / _WHOLE]
    if index:
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
    promised: dict[str, set[str]] = {}
    for tensor, name in index.items():
        promised.setdefault(str(name), set()).add(tensor)
    for name in sorted(promised):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise AuditError(f"{folder / _INDEX}: expected names of safetensors files, got '{name:.80}'")
        if not (folder / name).is_file():
            raise AuditError(f"{folder / _INDEX}: no file {name}, one of {len(promised)} shards")
    for name, tensors in sorted(promised.items()):
        _check_shard(folder, name, tensors, index.keys() - tensors)
    return [folder / name for name in sorted(promised)]


def _check_shard(folder: Path, name: str, tensors: set[str], of_others: set[str]) -> None:
    """Refuse a shard of another save: which tensor of two would count is not said."""
    held = set(tensor_shapes([folder / name]))
    for told, wrong in (("lacks", tensors - held), ("holds", held & of_others)):
        if wrong:
            names = sorted(wrong)
            raise AuditError(
                f"weights: {folder}: expected in each shard the tensors that {_INDEX} names for it, and {name} {told} "
                f"'{names[0]}'{and_more(names)}; save the whole model anew"
            )


def weights_digest(folder: Path) -> str:
    """SHA-256 of configuration and weights of a folder; read again when one of the files has changed."""
    files = [folder / "config.json", *weight_files(folder)]
    index = folder / _INDEX
    files += [index] if files[1:] != [folder / _WHOLE] else []
    return files_digest(files)
