"""Which files of a folder of Parquet or Arrow files are the training part of a data set, and which the test part.

Folders as the package datasets saves them (save_to_disk), and folders of Parquet files whose names, or whose folders,
begin with the part: data/train-00000-of-00002.parquet, test/0.parquet.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tasks.errors import AuditError

TRAIN, TESTS = "train", ("test", "validation", "valid", "val")
"""Names of parts; of several test parts the first is taken."""
LARGEST = 1 << 24
"""Bytes of a description."""


def table_parts(path: Path) -> dict[str, list[Path]]:
    """Files by part, in order; "" where they are of no part.

    Raises:
        AuditError: there are none, or of several data sets.
    """
    if path.is_file():
        return {"": [path]}
    if not path.is_dir():
        raise AuditError(f"path: no file or folder {path}")
    if (path / "dataset_dict.json").is_file():
        names = _described(path / "dataset_dict.json").get("splits")
        if not isinstance(names, list) or not names:
            raise AuditError(f"{path / 'dataset_dict.json'}: expected the names of splits")
        return {str(name): _saved(path / Path(str(name)).name) for name in names}
    if (path / "state.json").is_file():
        return {"": _saved(path)}
    return _by_name(path, sorted(path.rglob("*.parquet")))


def _saved(folder: Path) -> list[Path]:
    """The Arrow files of one part, as save_to_disk lists them."""
    state = _described(folder / "state.json")
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise AuditError(
            f"{folder}: expected rows in their order, got a selection of them; flatten_indices of the package "
            "datasets, then save_to_disk, writes them"
        )
    listed = state.get("_data_files")
    names = (
        [one.get("filename") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    )
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise AuditError(f"{folder / 'state.json'}: expected _data_files, the names of Arrow files")
    return [folder / str(name) for name in names]


def _described(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise AuditError(
            f"{file}: missing; expected a folder as save_to_disk of the package datasets writes it"
        )
    if file.stat().st_size > LARGEST:
        raise AuditError(f"{file}: expected at most {LARGEST} bytes")
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{file}: expected a JSON object: {error!s:.200}") from None
    if not isinstance(found, dict):
        raise AuditError(f"{file}: expected a JSON object, got {type(found).__name__}")
    return found


def _by_name(folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    if not files:
        raise AuditError(
            f"{folder}: expected Parquet files, or a folder as save_to_disk writes it, found neither"
        )
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault(_part_of(file.relative_to(folder)), []).append(file)
    if parts.keys() - {""} and TRAIN not in parts:
        raise AuditError(f"{folder}: expected a part train, found {', '.join(sorted(parts.keys() - {''}))}")
    chosen = parts if TRAIN not in parts else {name: found for name, found in parts.items() if name}
    for name, found in chosen.items():
        folders = {file.parent for file in found}
        if len(folders) > 1:
            first, second = sorted(map(str, folders))[:2]
            raise AuditError(
                f"{folder}: {name or 'Parquet files'}: expected one data set, found files in {first} and {second}; "
                "name the folder of one"
            )
    return chosen


def _part_of(file: Path) -> str:
    for text in (file.name, *(parent.name for parent in file.parents if parent.name)):
        match = re.match(rf"({'|'.join((TRAIN, *TESTS))})(?![a-z])", text.lower())
        if match:
            return match[1]
    return ""
