"""Documents as people keep them: a row with a text, or with a prompt and its completion, and whose it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.errors import AuditError
from tasks.text.documents import Documents, documents
from tasks.text.tokenizers import Tokenizer

Longer = Literal["refuse", "cut"]
Named = tuple[str, Mapping[str, Any]]
"""Where a row stands, and its fields."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the fields of a row are called."""

    text: str = "text"
    prompt: str = "prompt"
    completion: str = "completion"
    id: str = "id"
    group: str = "group"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One document."""

    where: str
    """It stands there; for messages."""
    text: str
    """What a model is to say: all of the document, or the completion of its prompt."""
    prompt: str | None = None
    id: str | None = None
    group: str | None = None

    @property
    def whole(self) -> str:
        """Prompt and text."""
        return (self.prompt or "") + self.text


def read_rows(found: Iterable[Named], names: Names) -> list[Row]:
    """Rows of a file, in its order.

    Args:
        found: where each stands, and its fields; one that is None is absent. Others than `names` are left alone.
        names: of the fields.

    Raises:
        AuditError: a document is missing, empty or no text, or has a text beside a prompt.
    """
    return [_row(where, fields, names) for where, fields in found]


def _row(where: str, fields: Mapping[str, Any], names: Names) -> Row:
    present = {name: value for name, value in fields.items() if value is not None}
    prompt, text = names.prompt, names.text
    if names.prompt in present or names.completion in present:
        for name, other in ((names.prompt, names.completion), (names.completion, names.prompt)):
            if name not in present:
                raise AuditError(f"{where}: '{other}' without '{name}': expected both")
        if names.text in present:
            raise AuditError(
                f"{where}: expected '{names.text}', or '{prompt}' and '{names.completion}', got all"
            )
        text = names.completion
    elif names.text not in present:
        held = ", ".join(f"'{name:.40}'" for name in sorted(present)[:20]) or "nothing"
        raise AuditError(
            f"{where}: expected '{names.text}', or '{prompt}' and '{names.completion}', got {held}; options of the "
            "data set name other fields"
        )
    said = _text(present, text, where)
    if not said.strip():
        what = "an empty document" if text == names.text else "a prompt with an empty completion"
        raise AuditError(f"{where}: '{text}': expected text, got {what}")
    return Row(
        where=where,
        text=said,
        prompt=_text(present, prompt, where) if prompt in present else None,
        id=_name(present, names.id, where),
        group=_name(present, names.group, where),
    )


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise AuditError(f"{where}: '{name}': expected text, got {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AuditError(
            f"{where}: '{name}': expected text that UTF-8 can hold, got U+{ord(value[error.start]):04X}, half of a pair"
        ) from None
    return value


def _name(fields: Mapping[str, Any], name: str, where: str) -> str | None:
    """An id or a group: text, or a whole number."""
    if name not in fields:
        return None
    value = fields[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not _text(fields, name, where).strip():
        raise AuditError(f"{where}: '{name}': expected a name, got nothing")
    return str(value)


def check_rows(rows: Sequence[Row]) -> None:
    """Refuse rows that do not make one data set.

    Raises:
        AuditError: there are none, two have one id, or some have a group (or an id) and others none.
    """
    if not rows:
        raise AuditError("expected documents, got an empty file")
    for name in ("id", "group"):
        named = [row for row in rows if getattr(row, name) is not None]
        if named and len(named) < len(rows):
            lacking = next(row for row in rows if getattr(row, name) is None)
            raise AuditError(f"{lacking.where}: expected '{name}', as {named[0].where} has one")
    first: dict[str, str] = {}
    for row in rows:
        if row.id is not None and first.setdefault(row.id, row.where) != row.where:
            raise AuditError(
                f"{row.where}: id '{row.id:.80}' is taken by {first[row.id]}; expected each once"
            )


def encode(
    rows: Iterable[Row], tokenizer: Tokenizer, *, longest: int, longer: Longer
) -> tuple[Documents, int]:
    """The documents as ids, and how many of them are cut.

    A prompt and its completion are encoded apart and put together, so that where the one ends does not depend on the
    other. Only the completion is asked for.

    Args:
        rows: one a document.
        tokenizer: text to ids.
        longest: most tokens of a document; 0: no limit.
        longer: refuse longer ones, or cut them at their end.

    Raises:
        AuditError: a document has no token to predict, is longer and is not to be cut, or would lose its completion.
    """
    ids: list[list[int]] = []
    prompts, cut = [], 0
    for row, own, given in _encoded(rows, tokenizer):
        if longest and len(own) > longest:
            if longer == "refuse":
                raise AuditError(
                    f'{row.where}: expected at most longest = {longest} tokens, got {len(own)}; set longer = "cut" '
                    "to cut such documents, or raise longest"
                )
            own, cut = own[:longest], cut + 1
            if given >= longest:
                raise AuditError(
                    f"{row.where}: its prompt has {given} tokens and longest is {longest}: nothing of the completion "
                    "would be left"
                )
        if len(own) <= max(1, given):
            raise AuditError(f"{row.where}: expected two tokens or more, got {len(own)}")
        ids.append(own)
        prompts.append(given)
    return documents(ids, prompts=prompts), cut


def _encoded(rows: Iterable[Row], tokenizer: Tokenizer) -> Iterator[tuple[Row, list[int], int]]:
    """Each row, its ids, and how many of the first are its prompt's."""
    for row in rows:
        try:
            prompt = [*tokenizer.begin, *tokenizer.encode(row.prompt)] if row.prompt is not None else []
            said = tokenizer.encode(row.text)
        except AuditError as error:
            raise AuditError(f"{row.where}: {error}") from None
        start = prompt or list(tokenizer.begin)
        yield row, [*start, *said, *tokenizer.end], len(prompt)
