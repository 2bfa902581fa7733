"""Forget sets that a user lists in a file: by example id, or by content hash."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tasks.datasets.splits import Splits
from tasks.errors import AuditError, nearest
from tasks.forget_sets.base import ForgetKind, ForgetRequest, ForgetSet, register
from tasks.forget_sets.draw import make
from tasks.forget_sets.request_files import Cell, RequestFile, read_request, whole_number

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_NEAR = 48
"""Hexadecimal digits of 64 that a misread hash shares with the one meant; unrelated ones share about 4."""


@register("file")
@dataclass(frozen=True, kw_only=True)
class Listed(ForgetKind):
    """A real deletion request: example ids, names, content hashes, or some of each, from a file.

    A name is what the data set calls an example: an image file below its folder, or the id of a document.

    A content hash names an image by its pixels (`python -m orchestrator.contents` prints it; the definition is in
    `tasks.datasets.contents`). It forgets every training example with these pixels: copies of what somebody wants
    deleted are to be deleted too. Copies in the validation and test splits stay there, and are counted in the
    provenance; an image that occurs nowhere else is refused. To look hashes up, every image is read once.
    """

    path: str
    """.csv, .tsv or .parquet (a column), .txt (one a line; # first or behind a space begins a comment) or .npy (whole
    numbers, or text)."""
    column: str = "example_id"
    """Column of a table; a .csv or .tsv of one column needs no header."""
    named: bool | None = None
    """Whether numbers are names, not example ids; has to be said where the data set has numbers as names."""
    sha256: str = ""
    """Expected SHA-256 of the sorted ids as little-endian int64; empty checks nothing."""

    def select(self, request: ForgetRequest) -> ForgetSet:
        """Read and check what is listed: in range, all training examples; what is listed again counts once."""
        file = read_request(Path(os.path.expanduser(self.path)), self.column)
        if not file.cells:
            raise AuditError(f"{self.path}: expected at least one example, got a list of none")
        names = request.names() if request.names else ()
        called = (
            frozenset(names) if self.named is not False else frozenset()
        )  # documents may be called by a hash
        hashed = [
            (line, text.lower()) for line, text in file.cells if _HASH.fullmatch(text) and text not in called
        ]
        copies = _copies(hashed, request, self.path) if hashed else {}
        forgotten = {text: rows[np.isin(rows, request.splits.train)] for text, rows in copies.items()}
        found = _Examples(self, forgotten, names, limited=request.limited)
        ids, repeated = _ids(found.of(*cell) for cell in file.cells)
        check_listed(ids, request.splits, num_examples=len(request.labels.labels), where=self.path)
        chosen = make("file", self, ids, **_counts(copies, forgotten), **_reading(file, repeated))
        if self.sha256 and self.sha256.lower() != chosen.digest:
            raise AuditError(f"{self.path}: expected ids with sha256 {self.sha256}, got {chosen.digest}")
        return replace(chosen, notes=(_summary(file, self.path, matched=len(ids), repeated=repeated),))


class _Examples:
    """Which examples a cell names."""

    def __init__(
        self, kind: Listed, copies: Mapping[str, np.ndarray], names: Sequence[str], *, limited: bool
    ) -> None:
        self._kind, self._copies, self._limited = kind, copies, limited
        self._rows = {name: row for row, name in enumerate(names) if name}
        self._numbered = any(whole_number(name) is not None for name in self._rows)

    def of(self, line: int, text: str) -> list[int]:
        """Their ids.

        Raises:
            AuditError: the cell names none, or may be read in two ways.
        """
        if text.lower() in self._copies:
            return self._copies[text.lower()].tolist()
        number, where = whole_number(text), f"{self._kind.path}: line {line}"
        if text in self._rows and _HASH.fullmatch(text):
            return [self._rows[text]]
        if number is None or self._kind.named:
            if text in self._rows:
                return [self._rows[text]]
            raise AuditError(f"{where}: {self._unknown(text)}")
        if self._numbered and self._kind.named is None:
            raise AuditError(
                f"{where}: '{text}' may be an example id, or a name, as the data set has numbers as names; expected "
                "named = true for names, named = false for ids"
            )
        if self._limited:
            raise AuditError(
                f"{where}: expected content hashes or names with data.limit, as ids number the examples of the whole "
                "data set; python -m orchestrator.contents prints them"
            )
        return [number]

    def _unknown(self, text: str) -> str:
        if not self._rows:
            return f"expected an example id, or a content hash of 64 hexadecimal digits, got '{text:.100}'"
        kinds = "a name" if self._kind.named else "an example id, a name, or a content hash"
        return f"expected {kinds} of the data set, got '{text:.100}'.{nearest(text, self._rows)}"


def _ids(cells: Iterable[list[int]]) -> tuple[np.ndarray, int]:
    """Examples in the order of the file, each once, and how many cells name none that is new."""
    found: dict[int, None] = {}
    repeated = 0
    for rows in cells:
        repeated += all(row in found for row in rows)
        found.update(dict.fromkeys(rows))
    return np.array(list(found), dtype=np.int64), repeated


def _reading(file: RequestFile, repeated: int) -> dict[str, int | str]:
    """How a list was read, for the provenance."""
    return {"listed": len(file.cells), "listed_again": repeated, "encoding": file.encoding}


def _summary(file: RequestFile, path: str, *, matched: int, repeated: int) -> str:
    """What a plan says of a list."""
    how = "; ".join(filter(None, (file.encoding, *file.remarks)))
    return (
        f"{path}{f' ({how})' if how else ''}: {len(file.cells):,} read, {matched:,} training examples matched, "
        f"{repeated:,} listed again, none unknown"
    )


def _copies(hashed: Sequence[Cell], request: ForgetRequest, path: str) -> dict[str, np.ndarray]:
    """Examples with each hash, sorted.

    Raises:
        AuditError: no example has the hash, or no training example; the first such line is named.
    """
    if request.hashes is None:
        raise AuditError(
            f"{path}: line {hashed[0][0]}: content hashes need the images, which are not at hand"
        )
    hashes = request.hashes()
    rows = rows_of({text for _, text in hashed}, hashes)
    unknown = [cell for cell in hashed if cell[1] not in rows]
    if unknown:
        line, text = unknown[0]
        more = f" ({len(unknown)} such lines)" if len(unknown) > 1 else ""
        raise AuditError(
            f"{path}: line {line}: no example has content hash {text}{more}; {_nearest(text, hashes)}"
        )
    for line, text in hashed:
        if not np.isin(rows[text], request.splits.train).any():
            place = _place(int(rows[text][0]), request.splits)
            raise AuditError(f"{path}: line {line}: content hash {text} is example {rows[text][0]}, {place}")
    return rows


def rows_of(wanted: set[str], hashes: np.ndarray) -> dict[str, np.ndarray]:
    """Rows, sorted, by those of the `wanted` content hashes (lower-case hexadecimal) that occur.

    Args:
        wanted: hashes to look for.
        hashes: `N x 32`, uint8.
    """
    keys = np.ascontiguousarray(hashes).view("S32").ravel()
    candidates = np.flatnonzero(np.isin(keys, np.array([bytes.fromhex(w) for w in wanted], dtype="S32")))
    found: dict[str, list[int]] = {}
    for row in candidates.tolist():
        found.setdefault(hashes[row].tobytes().hex(), []).append(row)
    return {text: np.array(rows, dtype=np.int64) for text, rows in found.items()}


def _nearest(text: str, hashes: np.ndarray) -> str:
    """The hash that shares most digits with a misread one, or what to do where none does."""
    wrong = hashes ^ np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    shared = ((wrong >> 4) == 0).sum(axis=1) + ((wrong & 15) == 0).sum(axis=1)
    row = int(shared.argmax())
    if shared[row] >= _NEAR:
        return f"did you mean {hashes[row].tobytes().hex()} (example {row})?"
    return "none is near; `python -m orchestrator.contents` prints the hash of an image file as this data set holds it"


def _place(row: int, splits: Splits) -> str:
    for name in ("test", "validation"):
        if row in getattr(splits, name):
            return f"in the {name} split: no model was trained on it"
    return "in no split"


def _counts(copies: Mapping[str, np.ndarray], forgotten: Mapping[str, np.ndarray]) -> dict[str, int]:
    """What the hashes gave, for the provenance; nothing for a list of ids."""
    if not copies:
        return {}
    found, taken = (sum(map(len, rows.values())) for rows in (copies, forgotten))
    return {
        "content_hashes": len(copies),
        "further_copies": taken - len(copies),
        "copies_not_forgotten": found - taken,
    }


def check_listed(ids: np.ndarray, splits: Splits, *, num_examples: int, where: str) -> None:
    """Check that ids are in range and training examples.

    Raises:
        AuditError: it names the first offender in the order of the file, and how many there are.
    """
    faults = {
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
