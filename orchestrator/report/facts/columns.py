"""The values of a column as a page carries them: equal values once, with four digits, the shortest way."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

DIGITS = 4
DIGITS_OF_INDEX = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""One for each index, where that is enough."""
Column = Mapping[str, Any]


def column(values: Sequence[Any]) -> Column:
    """The values of a column, the shortest way.

    Returns:
        {"all": value} where all rows have one; {"of": values, "at": index of each row}, a digit of `DIGITS_OF_INDEX`
        each or a list; {"of": values, "runs": index and how many rows in turn}; or {"is": values}.
    """
    values = [shortened(value) for value in values]
    index: dict[str, int] = {}
    at = [index.setdefault(repr(value), len(index)) for value in values]
    if len(index) == 1:
        return {"all": values[0]}
    known = [values[at.index(i)] for i in range(len(index))] if len(index) < len(values) / 2 else None
    if known is None:
        return {"is": values}
    few = len(known) <= len(DIGITS_OF_INDEX)
    runs = [part for key, group in itertools.groupby(at) for part in (key, sum(1 for _ in group))]
    ways: list[Column] = [
        {"of": known, "runs": runs},
        {"of": known, "at": "".join(DIGITS_OF_INDEX[i] for i in at) if few else at},
        {"is": values},
    ]
    return min(ways, key=_length)


def values_of(column: Column, count: int) -> list[Any]:
    """The values of so many rows again."""
    if "all" in column:
        return [column["all"]] * count
    if "is" in column:
        return list(column["is"])
    if "runs" in column:
        runs = zip(column["runs"][::2], column["runs"][1::2], strict=True)
        return [column["of"][i] for i, length in runs for _ in range(length)]
    at = column["at"]
    return [column["of"][i] for i in (map(DIGITS_OF_INDEX.index, at) if isinstance(at, str) else at)]


def _length(way: Column) -> int:
    return len(json.dumps(way, separators=(",", ":")))


def shortened(value: Any) -> Any:
    """A number with the digits that a chart can show; None for one that is not finite."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
