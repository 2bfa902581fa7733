"""Errors that a user can act on: one line that says what, where, what was expected."""

import difflib
from collections.abc import Iterable


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
    alike = {choice.casefold(): choice for choice in choices}
    near = [alike[found] for found in difflib.get_close_matches(name.casefold(), alike, n=1, cutoff=0.5)]
    hint = f" Did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(choices) if choices else "none"
    return UnknownName(f"{place}no {what} '{name}'.{hint} Valid: {listed}")
