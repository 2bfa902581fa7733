"""Every field of what people configure says what it is: that is what `--describe` prints."""

from __future__ import annotations

import dataclasses
from typing import Any

from tasks.fields import field_docs


def fields_are_described(built: Any) -> None:
    """Every field of a dataclass has a string literal under it.

    Args:
        built: an instance.

    Raises:
        AssertionError: one has none; or it is no frozen dataclass.
    """
    cls = type(built)
    frozen = dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen, f"{cls.__name__}: expected a frozen dataclass"
    missing = sorted({f.name for f in dataclasses.fields(cls)} - field_docs(cls).keys())
    assert not missing, f"{cls.__name__}: fields without a string literal under them: {missing}"
