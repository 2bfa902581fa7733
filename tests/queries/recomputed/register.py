"""Which queries and views are recomputed in plain Python, and for which values of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.queries.recomputed.arithmetic import Row
from tests.queries.recomputed.standing import Standing


@dataclass(frozen=True)
class Recomputation:
    """One query or view."""

    name: str
    rows: Callable[..., Iterator[Row]]
    """Of a standing and the parameters, with their defaults."""
    cases: tuple[Mapping[str, Any], ...]
    """Parameters to ask with."""


RECOMPUTED: dict[str, Recomputation] = {}


def recomputed(*cases: Mapping[str, Any]) -> Callable[..., Any]:
    """Register the function under its name, which is that of the query or view; it is asked without parameters first."""

    def register(rows: Callable[[Standing], Iterator[Row]]) -> Callable[[Standing], Iterator[Row]]:
        name = rows.__name__
        RECOMPUTED[name] = Recomputation(name, rows, ({}, *cases))
        return rows

    return register


def asked_for(value: Any, wanted: Any) -> bool:
    """Whether a parameter that may be null takes a value."""
    return wanted is None or value == wanted
