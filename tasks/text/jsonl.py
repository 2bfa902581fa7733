"""JSON lines: an object a line, in UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.errors import AuditError
from tasks.text.rows import Named

LARGEST = 1 << 31
"""Bytes of a file: all of it is held."""


def read_jsonl(path: Path) -> Iterator[Named]:
    """Where each object stands, and its fields; empty lines are passed over.

    Raises:
        AuditError: the file is too large or not UTF-8, or a line is no object or names a field twice.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise AuditError(f"{path}: expected a file of at most {LARGEST} bytes, got {size}")
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        where = f"{path}: line {number}"
        text = _decoded(line, where).lstrip("\ufeff" if number == 1 else "").strip()
        if text:
            yield where, _object(text, where)


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{where}: expected UTF-8, got byte {line[error.start]:#04x} at {error.start}; save the file as UTF-8"
        ) from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{where}: expected a JSON object: {error!s:.200}") from None
    if not isinstance(found, dict):
        raise AuditError(f"{where}: expected a JSON object, got {type(found).__name__}")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"field '{next(n for n in names if names.count(n) > 1):.40}' stands twice")
    return found
