"""Names that turn the direction of writing, set apart, so that the sentence around them keeps its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from orchestrator.errors import STEERING, printable

ISOLATE, END = "\u2068", "\u2069"
"""Around a text whose direction is its own."""
FROM_THE_RIGHT = {"R", "AL", "AN"}
"""Classes of characters that are written from right to left, or that such a text takes along."""
AS_IT_IS = {"behind", "command", "missing", "configuration"}
"""Fields that hold commands, queries and files, which are copied."""
Said = TypeVar("Said")


def set_apart(said: Said, names: Iterable[str]) -> Said:
    """Facts in which each such name is isolated wherever it stands, what steers in it shown as its number.

    Args:
        said: a dataclass, which is not changed.
        names: as users gave them; most need nothing.
    """
    turning = sorted({name for name in names if _turns(name)}, key=len, reverse=True)
    if not turning:
        return said
    pattern = re.compile("|".join(map(re.escape, turning)))
    found: Said = _changed(
        said, lambda text: pattern.sub(lambda name: f"{ISOLATE}{printable(name[0])}{END}", text)
    )
    return found


def _turns(name: str) -> bool:
    return bool(STEERING.search(name)) or any(unicodedata.bidirectional(c) in FROM_THE_RIGHT for c in name)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {_changed(key, change): _changed(one, change) for key, one in value.items()}
    if isinstance(value, tuple | list):
        made = [_changed(one, change) for one in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if field.name not in AS_IT_IS]
        return replace(value, **{name: _changed(getattr(value, name), change) for name in names})
    return value
