"""Forget sets that a user lists in a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks.datasets.splits import Splits
from tasks.errors import AuditError, unknown_name
from tasks.forget_sets.base import ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import make

_SUFFIXES = (".csv", ".npy", ".txt")


@register("file")
@dataclass(frozen=True, kw_only=True)
class Listed:
    """Example ids from a file: a real deletion request."""

    path: str
    """.csv (a column of ids), .npy (integers) or .txt (one id a line, # begins a comment)."""
    column: str = "example_id"
    """Column of a .csv that has a header; a .csv of one column needs none."""
    sha256: str = ""
    """Expected SHA-256 of the sorted ids as little-endian int64; empty checks nothing."""

    needs: ClassVar[tuple[str, ...]] = ()

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Read and check the ids: no duplicate, in range, all training examples."""
        ids = self._read(Path(self.path).expanduser())
        check_listed(ids, request.splits, num_examples=len(request.labels.labels), where=self.path)
        chosen = make("file", self, ids)
        if self.sha256 and self.sha256.lower() != chosen.digest:
            raise AuditError(f"{self.path}: expected ids with sha256 {self.sha256}, got {chosen.digest}")
        return chosen

    def _read(self, path: Path) -> np.ndarray:
        if path.suffix.lower() not in _SUFFIXES:
            raise unknown_name("file format", path.suffix or path.name, _SUFFIXES, where="path")
        if not path.is_file():
            raise AuditError(f"path: no file {path}")
        if path.suffix.lower() == ".npy":
            return _read_npy(path)
        read = _csv_cells(path, self.column) if path.suffix.lower() == ".csv" else _txt_cells(path)
        return np.array([_integer(text, path, line) for line, text in read], dtype=np.int64)


def _read_npy(path: Path) -> np.ndarray:
    try:
        ids = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise AuditError(f"{path}: cannot read this array: {error}") from None
    if not isinstance(ids, np.ndarray) or ids.ndim != 1 or ids.dtype.kind not in "iu":
        found = f"{ids.dtype} {ids.shape}" if isinstance(ids, np.ndarray) else "an archive"
        raise AuditError(f"{path}: expected integers of shape (n,), got {found}")
    return ids.astype(np.int64)


def _txt_cells(path: Path) -> list[tuple[int, str]]:
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    return [(number, line) for number, line in enumerate(lines, start=1) if line]


def _csv_cells(path: Path, column: str) -> list[tuple[int, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row]
    if not rows:
        return []
    header = [cell.strip() for cell in rows[0][1]]
    if column in header:
        place = header.index(column)
        return [(number, row[place] if place < len(row) else "") for number, row in rows[1:]]
    if len(header) > 1:
        raise unknown_name("column", column, header, where=str(path))
    return [(number, row[0]) for number, row in rows]


def _integer(text: str, path: Path, line: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise AuditError(f"{path}: line {line}: expected an example id, got '{text.strip()}'") from None


def check_listed(ids: np.ndarray, splits: Splits, *, num_examples: int, where: str) -> None:
    """Check that ids are unique, in range and training examples.

    Raises:
        AuditError: it names the first offender in the order of the file, and how many there are.
    """
    repeated = np.ones(len(ids), dtype=bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    faults = {
        "listed before": repeated,
        f"outside 0..{num_examples - 1}": (ids < 0) | (ids >= num_examples),
        "in the test split": np.isin(ids, splits.test),
        "in the validation split": np.isin(ids, splits.validation),
        "in no split": ~np.isin(ids, np.concatenate([splits.train, splits.validation, splits.test])),
    }
    for fault, mask in faults.items():
        if mask.any():
            number = int(mask.sum())
            verb = "id is" if number == 1 else "ids are"
            raise AuditError(f"{where}: {number} {verb} {fault}, the first is {ids[mask.argmax()]}")
