"""What a mutant is: one line of a file, changed in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """A change inside of one line; columns count characters from 0."""

    line: int
    """From 1."""
    start: int
    end: int
    new: str
    first: int
    last: int
    """Lines of the statement around it: a test that runs one of them covers the line."""


@dataclass(frozen=True)
class Mutant:
    """A line of a file, and what it becomes."""

    path: str
    """From the root of the working tree, with slashes."""
    edit: Edit
    line: str
    becomes: str
    """Both without the blanks around them."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Names the mutant wherever its line moves."""
        return self.path, self.line, self.becomes

    def __str__(self) -> str:
        return f"{self.path}:{self.edit.line}: {self.line}  ->  {self.becomes}"


def edited(text: str, edit: Edit) -> str:
    """The whole text with the change."""
    lines = text.split("\n")
    line = lines[edit.line - 1]
    lines[edit.line - 1] = line[: edit.start] + edit.new + line[edit.end :]
    return "\n".join(lines)


def mutant(path: str, text: str, edit: Edit) -> Mutant:
    """The mutant that an edit makes of a file."""
    before, after = (version.split("\n")[edit.line - 1].strip() for version in (text, edited(text, edit)))
    return Mutant(path, edit, before, after)
