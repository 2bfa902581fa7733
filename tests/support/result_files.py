"""Results read as the plain files that they are, whatever version of the code wrote them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import AuditError
from tests.support.grains import GRAINS, OF_FILES

COMPACTED = "_compacted"


def read_tables(root: Path) -> dict[str, pa.Table]:
    """Every table of a results directory, and `weights`: model_id and a digest of its tensors.

    Raises:
        AuditError: there are no results, or a file is none.
    """
    if not root.is_dir():
        raise AuditError(
            f"{root}: expected a results directory, found no directory; run a sweep with --out {root}"
        )
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name[0] not in "._"]
    listed = {folder.name: _files(folder) for folder in folders if not (folder / "store.json").is_file()}
    tables = {
        name: _read(root / name, files) for name, files in listed.items() if files and name not in OF_FILES
    }
    if not tables:
        raise AuditError(
            f"{root}: expected a results directory, found no .arrow files in it; name the --out of a sweep"
        )
    if weights := sorted((root / "weights").glob("*.safetensors")):
        columns = {"model_id": [p.stem for p in weights], "tensors": [_tensors_digest(p) for p in weights]}
        tables["weights"] = pa.table(columns)
    return tables


def inner_results(root: Path) -> set[str]:
    """Names of the results that lie in a results directory, such as those of a search."""
    return {marker.parent.name for marker in root.glob("*/store.json")}


def _files(folder: Path) -> list[Path]:
    """Result files, those of single keys first; unfinished ones begin with a dot."""
    found = [path for path in sorted(folder.rglob("*.arrow")) if not path.name.startswith(".")]
    return sorted(found, key=lambda path: COMPACTED in path.relative_to(folder).parts)


def _read(folder: Path, files: Iterable[Path]) -> pa.Table:
    """The rows of a table. A key counts once: its own file goes before a merged one, the fuller one of these first."""
    singles: list[pa.Table] = []
    merged: list[tuple[set[str], pa.Table]] = []
    taken: set[str] = set()
    for path in files:
        rows = _load(path)
        if path.parent.name == COMPACTED:
            keys = (rows.schema.metadata or {}).get(b"keys", b"").decode().split()
            merged.append((set(keys), rows))
            continue
        taken.add(path.stem)
        for directory in path.relative_to(folder).parent.parts:
            column, _, value = directory.partition("=")
            rows = rows.append_column(column, pa.array([unquote(value)] * len(rows), pa.string()))
        singles.append(rows.replace_schema_metadata(None))
    for keys, rows in sorted(merged, key=lambda part: -len(part[0])):
        singles.append(_without(rows, keys & taken, folder.name).replace_schema_metadata(None))
        taken |= keys
    return pa.concat_tables(singles, promote_options="permissive")


def _load(path: Path) -> pa.Table:
    try:
        with pa.memory_map(str(path)) as source:
            return pa.ipc.open_file(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise AuditError(
            f"{path}: expected an Arrow file: {' '.join(str(error).split())}; repair it or run again"
        ) from None


def _without(rows: pa.Table, keys: set[str], table: str) -> pa.Table:
    """Rows of a merged file but those of some keys; the key is the first column where the table is not known."""
    if not keys:
        return rows
    known = GRAINS[table].key if table in GRAINS else ""
    key = known if known in rows.column_names else rows.column_names[0]
    return rows.filter(pc.invert(pc.is_in(rows[key], pa.array(sorted(keys), pa.string()))))


def _tensors_digest(path: Path) -> str:
    """SHA-256 of the names, types, shapes and bytes of the tensors; their order in the file does not matter."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header: Mapping[str, dict] = json.loads(data[8:start])
    except ValueError:
        raise AuditError(
            f"{path}: expected a safetensors file, found no header; repair it or run again"
        ) from None
    sha = hashlib.sha256()
    for name in sorted(header.keys() - {"__metadata__"}):
        first, last = header[name]["data_offsets"]
        sha.update(f"{name} {header[name]['dtype']} {header[name]['shape']}\n".encode())
        sha.update(data[start + first : start + last])
    return sha.hexdigest()
