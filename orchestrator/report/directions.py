"""Names that turn the direction of writing, set apart, so that the sentence around them keeps its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from orchestrator.errors import STEERING, printable
from orchestrator.report.leaves import changed

ISOLATE, END = "\u2068", "\u2069"
"""Around a text whose direction is its own."""
FROM_THE_RIGHT = {"R", "AL", "AN"}
"""Classes of characters that are written from right to left, or that such a text takes along."""
AS_IT_IS = {"behind", "command", "missing", "configuration"}
"""Fields that hold commands, queries and files, which are copied."""
Said = TypeVar("Said")


def set_apart(said: Said, names: Iterable[str], copied: Collection[str] = ()) -> Said:
    """Facts in which each such name is isolated wherever it stands, what steers in it shown as its number.

    Args:
        said: a dataclass, which is not changed.
        names: as users gave them; most need nothing.
        copied: commands at the end of sentences, where those that hold nothing that steers stay as they are too.
    """
    turning = sorted({name for name in names if _turns(name)}, key=len, reverse=True)
    if not turning:
        return said
    pattern = re.compile("|".join(map(re.escape, turning)))
    copied = [command for command in copied if printable(command) == command]

    def apart(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        command = next(filter(value.endswith, copied), "")
        words = value.removesuffix(command)
        return pattern.sub(lambda name: f"{ISOLATE}{printable(name[0])}{END}", words) + command

    found: Said = changed(said, apart, AS_IT_IS)
    return found


def _turns(name: str) -> bool:
    return bool(STEERING.search(name)) or any(unicodedata.bidirectional(c) in FROM_THE_RIGHT for c in name)
