"""Facts with each text or number changed that stands in them; and those without numbers that JSON has not."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

Said = TypeVar("Said")


def changed(value: Any, change: Callable[[Any], Any], besides: Collection[str] = ()) -> Any:
    """A value in which whatever is no dataclass, mapping, list or tuple is changed, keys of mappings too.

    Args:
        value: is not changed itself.
        change: of a text, a number, None.
        besides: fields of dataclasses that stay as they are.
    """
    if isinstance(value, Mapping):
        return {changed(key, change, besides): changed(one, change, besides) for key, one in value.items()}
    if isinstance(value, tuple | list):
        made = [changed(one, change, besides) for one in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if field.name not in besides]
        return replace(value, **{name: changed(getattr(value, name), change, besides) for name in names})
    return change(value)


def finite(said: Said, besides: Collection[str] = ()) -> Said:
    """Facts in which a number that is not finite is unknown (None): pages show a dash, and JSON has no other."""
    found: Said = changed(said, _finite, besides)
    return found


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
