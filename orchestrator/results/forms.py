"""The forms in which an answer is written. Imports little, so that a command line can list them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from tasks.errors import AuditError, unknown_name

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
PAGES: Mapping[str, Literal["page"]] = {".htm": "page", ".html": "page"}
PICTURES = frozenset({".eps", ".pdf", ".png", ".svg"})
BINARY: frozenset[Format] = frozenset({"parquet", "arrow"})


Form = TypeVar("Form", bound=str)


def form_of(
    output: Path | None,
    asked: Form | None,
    suffixes: Mapping[str, Form],
    *,
    otherwise: Form,
    flag: str = "--output",
) -> Form:
    """The form in which a file is written: what its suffix names, which is what was asked for, if anything was.

    Args:
        output: the file; None: stdout.
        asked: as by --format; None: not asked for.
        suffixes: form by suffix; `.txt` names any that is text.
        otherwise: of stdout, and of a file without suffix.
        flag: that named the file.

    Raises:
        AuditError: no form has the suffix, or another one than what was asked for.
    """
    suffix = output.suffix.lower() if output is not None else ""
    named = suffixes.get(suffix)
    if asked is not None:
        if named not in (None, asked) and (suffix != ".txt" or asked in BINARY):
            raise AuditError(
                f"{flag}: expected a name for --format {asked}, got {output}, a name for {named}"
            )
        return asked
    if suffix and named is None:
        raise unknown_name("form with the suffix", suffix, suffixes, where=flag)
    return named or otherwise


def check_directory_name(path: Path, *, flag: str) -> None:
    """Refuse what people call a file where a directory is to be made.

    Raises:
        AuditError: the name ends as that of a file does, and there is no such directory.
    """
    if path.suffix.lower() in {*SUFFIXES, *PAGES, *PICTURES} and not path.is_dir():
        raise AuditError(
            f"{flag}: expected a directory such as {path.with_suffix('')}, got {path}, a name for a file"
        )
