"""The grammar of layer scopes. Imports no torch: the plan checks scopes before any model exists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tasks.errors import AuditError, unknown_name

NAMED = ("all", "head", "early", "intermediate", "last", "norm-only", "conv-only")
FORMS = (*NAMED, "last-<k>", "block:<i>", "blocks:<i>..<j>", "regex:<pattern>")

Kind = Literal["named", "last-k", "blocks", "regex"]


@dataclass(frozen=True)
class Term:
    """One term of a scope; a scope is the union of its terms."""

    kind: Kind
    text: str
    """As the user wrote it; the pattern of a regex."""
    first: int = 0
    """First block of a range, or the k of last-k."""
    last: int = 0
    """Last block of a range, inclusive."""


def parse_scope(text: str, *, where: str = "scope") -> tuple[Term, ...]:
    """Parse a layer scope: terms joined by '+'.

    `all`; `head`, the classification layer; `last-k`, the last k blocks and the head; `block:i` and
    `blocks:i..j`, counted from 0, both ends included; `early`, `intermediate` and `last`, thirds of the
    blocks, the stem with the first and the head with the last; `norm-only`, `conv-only` by layer type;
    `regex:pattern`, searched in parameter names, which takes the rest of the text and so comes last.

    Raises:
        AuditError: a term is unknown, a range is empty or a pattern is not a regular expression.
    """
    head, marker, pattern = text.partition("regex:")
    if marker and head and not head.endswith("+"):
        raise _unknown(text, where)
    plain = head.removesuffix("+").split("+") if marker else text.split("+")
    terms = [_term(part.strip(), where) for part in plain if head or not marker]
    if marker:
        terms.append(_regex(pattern, where))
    return tuple(terms)


def check_text(text: str, *, where: str = "scope") -> None:
    """Raise AuditError where `text` can be a scope of no model."""
    parse_scope(text, where=where)


def _term(text: str, where: str) -> Term:
    if text in NAMED:
        return Term("named", text)
    if match := re.fullmatch(r"last-(\d+)", text):
        if int(match[1]) < 1:
            raise AuditError(f"{where}: '{text}': expected last-1 or more; the head alone is 'head'")
        return Term("last-k", text, first=int(match[1]))
    if match := re.fullmatch(r"block:(\d+)", text):
        return Term("blocks", text, first=int(match[1]), last=int(match[1]))
    if match := re.fullmatch(r"blocks:(\d+)\.\.(\d+)", text):
        first, last = int(match[1]), int(match[2])
        if first > last:
            raise AuditError(f"{where}: '{text}': expected the first block at or before the last")
        return Term("blocks", text, first=first, last=last)
    raise _unknown(text, where)


def _regex(pattern: str, where: str) -> Term:
    try:
        re.compile(pattern)
    except re.error as error:
        raise AuditError(f"{where}: 'regex:{pattern}': not a regular expression: {error}") from None
    if not pattern:
        raise AuditError(f"{where}: 'regex:': expected a pattern, got nothing")
    return Term("regex", pattern)


def _unknown(text: str, where: str) -> AuditError:
    return unknown_name("layer scope", text, FORMS, where=where)
