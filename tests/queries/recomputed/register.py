"""Which queries and views are recomputed in plain Python, and for which values of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.queries.recomputed.arithmetic import Row
from tests.queries.recomputed.standing import Standing

Case = Mapping[str, Any] | Callable[[Standing], Mapping[str, Any]]


@dataclass(frozen=True)
class Recomputation:
    """One query or view."""

    name: str
    rows: Callable[..., Iterator[Row]]
    """Of a standing and the parameters, with their defaults."""
    cases: tuple[Case, ...]
    """Parameters to ask with, or what finds them."""


RECOMPUTED: dict[str, Recomputation] = {}


def recomputed(*cases: Case) -> Callable[..., Any]:
    """Register a function under its name, that of a query or view, to be asked without parameters and with each case.

    A case that is a function finds values for parameters that have no default: then there is nothing without.
    """

    def register(rows: Callable[..., Iterator[Row]]) -> Callable[..., Iterator[Row]]:
        first: tuple[Case, ...] = () if cases and callable(cases[0]) else ({},)
        RECOMPUTED[rows.__name__] = Recomputation(rows.__name__, rows, (*first, *cases))
        return rows

    return register


def asked_for(value: Any, wanted: Any) -> bool:
    """Whether a parameter that may be null takes a value."""
    return wanted is None or value == wanted
