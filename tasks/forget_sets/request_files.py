"""Files in which people list what is to be forgotten: which line names what, and how the file was read."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tasks.datasets.arrays import read_npy
from tasks.errors import AuditError, unknown_name
from tasks.text.parquet import column_type, read_parquet

Cell = tuple[int, str]
"""Line number from 1, and what the line names."""

_HASH_BYTES = 32
_LARGEST = 1 << 28
"""Bytes of a list, enough for four million content hashes."""
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_DECLARED = re.compile(r'("?)sep=(?P<delimiter>[^\r\n]*?)\1[\r\n]+', re.IGNORECASE)
"""A first line by which Excel is told what separates cells."""
_MARK = "\ufeff"
"""A byte order mark; programs that join or save a file again write a second one."""
_MOSTLY = 0.25
"""Share of NUL among the bytes of UTF-16 without its mark, so that it can be nothing else: most letters are Latin."""
_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(?:\.(?!000$)0*)?")
"""A whole number, also as spreadsheets write one in a column with gaps: 12.0. Twelve, or twelve thousand: 12.000."""
_COMMENT = re.compile(r"(^|\s)#.*")
"""In the middle of a word # is a part of it: a file may be called so."""
_EXACT = {"float16": 2**11, "halffloat": 2**11, "float32": 2**24, "float": 2**24}
"""Size from which on some whole numbers cannot be told apart in such floats; ids lie below what a double holds."""


@dataclass(frozen=True, kw_only=True)
class RequestFile:
    """What a file lists, and how it was read."""

    cells: Sequence[Cell]
    """In the order of the file."""
    encoding: str = ""
    """Of its text; empty where it holds numbers."""
    remarks: tuple[str, ...] = ()
    """What a reader may not have expected."""


def read_request(path: Path, column: str) -> RequestFile:
    """Read a list.

    Args:
        path: of a .csv, .tsv, .txt, .npy or .parquet file.
        column: of a table, what names the examples; a .csv of one column needs no header.

    Raises:
        AuditError: there is no such file, it is of another format, or something in it can be read in two ways; the
            line is named.
    """
    if not path.is_file():
        raise AuditError(f"path: no file {path}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise unknown_name("file format", path.suffix or path.name, _READERS, where="path")
    return reader(path, column)


def whole_number(text: str) -> int | None:
    """The integer that a cell names; None: it names none."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def _npy(path: Path, column: str) -> RequestFile:
    listed = read_npy(path)
    if listed.ndim != 1 or listed.dtype.kind not in "iufUS":
        remedy = "; np.flatnonzero(x) lists the places of a mask" if listed.dtype.kind == "b" else ""
        remedy = "; x.ravel() is of that shape" if listed.ndim == 2 and 1 in listed.shape else remedy
        raise AuditError(
            f"{path}: expected integers or text of shape (n,), got {listed.dtype} {listed.shape}{remedy}"
        )
    _refuse_rounded(path, listed.tolist(), listed.dtype.name)
    return RequestFile(cells=_numbered(path, listed.tolist()))


def _parquet(path: Path, column: str) -> RequestFile:
    rows = [row for _, row in read_parquet(path, [column])]
    values = [row.get(column) for row in rows]
    _refuse_rounded(path, values, column_type(path, column))
    return RequestFile(cells=_numbered(path, values))


def _numbered(path: Path, values: Sequence[object]) -> list[Cell]:
    return [(line, _said(path, line, value).strip()) for line, value in enumerate(values, start=1)]


def _said(path: Path, line: int, value: object) -> str:
    """What a value of a table names: a number that is whole, as one; 32 bytes, as a content hash; others, as text."""
    if isinstance(value, (float, Decimal)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if isinstance(value, bytes):
        try:
            return value.hex() if len(value) == _HASH_BYTES else value.decode()
        except UnicodeDecodeError:
            raise AuditError(
                f"{path}: line {line}: expected text in UTF-8, or {_HASH_BYTES} bytes of a content hash, got "
                f"{len(value)} others"
            ) from None
    return "" if value is None else str(value)


def _refuse_rounded(path: Path, values: Sequence[object], kind: str) -> None:
    """Refuse ids in floats that may stand for a neighbour of what was meant."""
    most = _EXACT.get(kind, math.inf)
    for line, value in enumerate(values, start=1):
        if isinstance(value, float) and math.isfinite(value) and abs(value) >= most:
            raise AuditError(
                f"{path}: line {line}: expected ids as integers: numbers from {most} on are rounded as {kind}, got "
                f"{value:.0f}; save them as int64"
            )


def _txt(path: Path, column: str) -> RequestFile:
    text, encoding = _text(path)
    lines = [_COMMENT.sub("", line).strip() for line in text.splitlines()]
    return RequestFile(
        cells=[(number, line) for number, line in enumerate(lines, start=1) if line], encoding=encoding
    )


def _csv(path: Path, column: str) -> RequestFile:
    return _separated(path, column, "")


def _tsv(path: Path, column: str) -> RequestFile:
    return _separated(path, column, "\t")


def _separated(path: Path, column: str, delimiter: str) -> RequestFile:
    """Read a table whose cells are separated by a delimiter; empty: by what the file itself says."""
    text, encoding = _text(path)
    declared = _DECLARED.match(text)
    if declared:
        delimiter = _checked(path, declared["delimiter"], delimiter)
    delimiter = delimiter or _delimiter(text, column)
    remarks: list[str] = []
    rows, over_lines = _rows(path, text, delimiter, skipped=declared[0] if declared else "")
    if not rows:
        return RequestFile(cells=[], encoding=encoding)
    if delimiter != ",":
        said = ", as line 1 says" if declared else ""
        remarks.append(f"separated by {_DELIMITERS[delimiter]}s{said}")
    if over_lines:
        remarks.append(
            f"rows that go over several lines: {len(over_lines)}, the first from line {over_lines[0]} on"
        )
    first, header = rows[0][0], [cell.strip() for cell in rows[0][1]]
    if column in header:
        if header.count(column) > 1:
            raise AuditError(
                f"{path}: line {first}: expected one column '{column}', got {header.count(column)}"
            )
        place, rows = header.index(column), rows[1:]
    elif len(header) > 1:
        raise unknown_name("column", column, [f"{name:.40}" for name in header[:20]], where=str(path))
    else:
        place = 0
    for number, row in rows:
        if len(row) != len(header):
            raise AuditError(
                f"{path}: line {number}: expected {len(header)} cells as in line {first}, got {len(row)}"
            )
    cells = [(number, row[place].strip()) for number, row in rows]
    return RequestFile(cells=cells, encoding=encoding, remarks=tuple(remarks))


def _checked(path: Path, declared: str, expected: str) -> str:
    """The delimiter that a file declares, of those that are known, and none but the one that its name tells."""
    choices = [expected] if expected else list(_DELIMITERS)
    if declared not in choices:
        names = " or ".join(_DELIMITERS[choice] for choice in choices)
        raise AuditError(f"{path}: line 1: expected sep= with a {names}, got {declared!r:.20}")
    return declared


def _delimiter(text: str, column: str) -> str:
    """That by which the first line names the column; a comma where none does."""
    header = text.lstrip("\r\n").partition("\n")[0]
    found = (
        d
        for d in _DELIMITERS
        if column in [cell.strip().strip('"') for cell in header.split(d)] and d in header
    )
    return next(found, ",")


def _rows(
    path: Path, text: str, delimiter: str, *, skipped: str
) -> tuple[list[tuple[int, list[str]]], list[int]]:
    """Rows that are not blank, each with the line on which it begins, and those lines that do not end their row.

    Args:
        skipped: how the text begins that is no part of the table.
    """
    before = sum(1 for _ in io.StringIO(skipped, newline=""))
    reader = csv.reader(io.StringIO(text.removeprefix(skipped), newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    begin, over_lines = before + 1, []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((begin, row))
                over_lines += [begin] if before + reader.line_num > begin else []
            begin = before + reader.line_num + 1
    except csv.Error as error:
        raise AuditError(f"{path}: line {begin}: cannot read this row: {error}") from None
    return rows, over_lines


def _text(path: Path) -> tuple[str, str]:
    """The text of a file, and its encoding: UTF-8, UTF-16, or what is left, cp1252.

    Raises:
        AuditError: it is none of them, or too large.
    """
    size = path.stat().st_size
    if size > _LARGEST:
        raise AuditError(f"{path}: expected a list of at most {_LARGEST} bytes, got {size}")
    raw = path.read_bytes()
    for codec, name in _encodings(raw).items():
        try:
            return raw.decode(codec).lstrip(_MARK), name
        except UnicodeDecodeError:
            continue
    raise AuditError(f"{path}: expected text in UTF-8, UTF-16 or cp1252; save it as UTF-8")


def _encodings(raw: bytes) -> dict[str, str]:
    """What bytes may be, as codecs of Python with our names for them; no text but UTF-16 and UTF-32 holds NUL."""
    if raw.startswith(codecs.BOM_UTF32_LE):
        return {}
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return {"utf-16": "UTF-16"}
    if b"\0" not in raw:
        return {"utf-8-sig": "UTF-8", "cp1252": "cp1252"}
    even, odd = (raw[place::2].count(0) / len(raw) for place in (0, 1))
    if even == 0 and odd > _MOSTLY:
        return {"utf-16-le": "UTF-16-LE without a byte order mark"}
    if odd == 0 and even > _MOSTLY:
        return {"utf-16-be": "UTF-16-BE without a byte order mark"}
    return {}


_READERS: dict[str, Callable[[Path, str], RequestFile]] = {
    ".csv": _csv,
    ".npy": _npy,
    ".parquet": _parquet,
    ".tsv": _tsv,
    ".txt": _txt,
}
