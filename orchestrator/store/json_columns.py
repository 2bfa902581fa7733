"""JSON that results hold in a column, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

from tasks.errors import AuditError

LONGEST = 1 << 24
"""Characters that are read; a configuration has some thousands."""


def json_column(text: str | None, kind: type | tuple[type, ...], *, where: str) -> Any:
    """The value, empty where there is no text.

    Args:
        text: JSON.
        kind: dict, list or both.
        where: the column, for messages.

    Raises:
        AuditError: it is no JSON, of another kind, too long, or too deep.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not text:
        return kinds[0]()
    try:
        value = json.loads(text) if len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kinds):
        names = " or ".join(each.__name__ for each in kinds)
        raise AuditError(f"results: {where}: expected JSON of a {names}, got {text[:40]!r}")
    return value
