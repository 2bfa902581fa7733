"""Errors that a user can act on: one line that says what, where, what was expected."""

import difflib
from collections.abc import Iterable, Sequence


class AuditError(Exception):
    """Bad input or environment; commands print the message and exit with 2, without a traceback."""


class UnknownName(AuditError, LookupError):
    """A name that no registry, table or key set holds; the message names the nearest valid one."""


class Diverged(AuditError):
    """Training or unlearning produced a non-finite loss or weight."""


def unknown_name(what: str, name: str, valid: Iterable[str], *, where: str = "") -> UnknownName:
    """Build the error for a misspelt name.

    Args:
        what: the kind of thing, in the singular ("unlearning method").
        name: what the user wrote.
        valid: every accepted name.
        where: the key or flag it was read from; omitted from the message when empty.
    """
    choices = sorted(set(valid))
    place = f"{where}: " if where else ""
    separator = "; " if any(", " in choice for choice in choices) else ", "
    listed = separator.join(choices) or "none"
    return UnknownName(f"{place}no {what} '{name}'.{nearest(name, choices)} Valid: {listed}")


def nearest(name: str, valid: Iterable[str]) -> str:
    """A sentence, behind a space, that asks whether the valid name most like this one was meant; empty: none is."""
    alike = {choice.casefold(): choice for choice in sorted(valid)}
    found = difflib.get_close_matches(name.casefold(), alike, n=1, cutoff=0.5)
    return f" Did you mean '{alike[found[0]]:.100}'?" if found else ""


def and_more(names: Sequence[str]) -> str:
    """What a message says, behind a space, that names the first of some; empty: there is no other."""
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
