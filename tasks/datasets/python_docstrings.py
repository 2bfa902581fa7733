"""Docstrings of Python's standard library: an audit of real text without a download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.datasets.base import register
from tasks.datasets.text_rows import TextRows
from tasks.errors import AuditError
from tasks.runtime.seeding import numpy_generator
from tasks.text.docstrings import docstrings, library_files
from tasks.text.rows import Row


@register("python_docstrings")
@dataclass(frozen=True, kw_only=True)
class PythonDocstrings(TextRows):
    """Docstrings of the running interpreter; their modules are groups, and some modules are the public part.

    Another version of Python has other docstrings, which the digest tells. A public docstring that an audited module
    has too is left out.
    """

    embedded = True

    shortest_text: int = 80
    """Fewest bytes of a docstring."""
    longest_text: int = 240
    """Most bytes of one; longer ones are left out, not cut."""
    public_fraction: float = 0.5
    """Share of the modules that are the public part."""
    seed: int = 0
    """Of the choice of these modules."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.shortest_text <= self.longest_text:
            raise AuditError(
                f"shortest_text: expected 1 to longest_text = {self.longest_text}, got {self.shortest_text}"
            )
        if not 0 <= self.public_fraction < 1:
            raise AuditError(f"public_fraction: expected a number in [0, 1), got {self.public_fraction}")

    def files(self) -> list[Path]:
        """The library's."""
        return library_files()

    def parts(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Audited docstrings, no test part of their own, and public ones."""
        files = self.files()
        order = numpy_generator("python docstrings", "public", self.seed).permutation(len(files))
        public = set(order[: round(self.public_fraction * len(files))].tolist())
        rows: dict[bool, list[Row]] = {False: [], True: []}
        for number, path in enumerate(files):
            rows[number in public] += docstrings(path, shortest=self.shortest_text, longest=self.longest_text)
        audited = {row.whole for row in rows[False]}
        return rows[False], [], [row for row in rows[True] if row.whole not in audited]
