"""Documents in a file of JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.datasets.base import register
from tasks.datasets.text_rows import TextFiles
from tasks.text.jsonl import read_jsonl
from tasks.text.rows import Names, Row, read_rows


@register("jsonl")
@dataclass(frozen=True, kw_only=True)
class Jsonl(TextFiles):
    """An object a line, in UTF-8: {"text": ...}, or {"prompt": ..., "completion": ...}; optionally "id" and "group"."""

    def rows_of(self, path: Path, names: Names) -> list[Row]:
        """Rows of one file."""
        return read_rows(read_jsonl(path), names)
