"""The forms in which an answer is written. Imports little, so that a command line can list them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tasks.errors import unknown_name

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
    """The form that the suffix of a file names; `table` for stdout and a file without suffix.

    Raises:
        UnknownName: no form has the suffix.
    """
    if output is None or not output.suffix:
        return "table"
    if output.suffix.lower() not in SUFFIXES:
        raise unknown_name("form with the suffix", output.suffix, SUFFIXES, where="--output")
    return SUFFIXES[output.suffix.lower()]
