"""Documents in a Parquet file."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

from tasks.datasets.base import register
from tasks.datasets.text_rows import TextFiles
from tasks.text.parquet import read_parquet
from tasks.text.rows import Names, Row, read_rows


@register("parquet")
@dataclass(frozen=True, kw_only=True)
class Parquet(TextFiles):
    """A document a row: column text, or prompt and completion; optionally id and group."""

    def rows_of(self, path: Path, names: Names) -> list[Row]:
        """Rows of one file."""
        return read_rows(read_parquet(path, astuple(names)), names)
