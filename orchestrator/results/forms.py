"""The forms in which an answer is written. Imports nothing, so that a command line can list them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Format = Literal["table", "csv", "markdown", "latex", "json", "parquet", "arrow"]
SUFFIXES: Mapping[str, Format] = {
    ".txt": "table",
    ".csv": "csv",
    ".md": "markdown",
    ".tex": "latex",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
BINARY: frozenset[Format] = frozenset({"parquet", "arrow"})


def form_of(output: Path | None) -> Format:
    """The form that the suffix of a file names; `table` where it names none."""
    return SUFFIXES.get(output.suffix, "table") if output else "table"
