"""The SQL of the views over the results, and what stands behind each."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from orchestrator.results.reading import COMMENT
from orchestrator.store.tables import TABLES

PLAN = Path(__file__).with_name("plan.sql")
FILES = (
    PLAN,
    *(
        Path(__file__).with_name(f"{name}.sql")
        for name in (
            "declared",
            "student",
            "views",
            "costs",
            "masking",
            "verdict",
            "distances",
            "claims",
            "pairs",
            "pair_attacks",
        )
    ),
)
"""The SQL of all macros and views, in the order in which they build on one another."""
VIEW = re.compile(r"^create or replace temp view (\w+) as(.*?);$", re.DOTALL | re.MULTILINE)
QUOTED = re.compile(r"'[^']*'|--[^\n]*")
"""Literals and comments of our own views, which name no table that is read; a user's text is taken as it stands."""
CATALOGUE = re.compile(r"\b(show|information_schema|(duckdb|pg|pragma|sqlite)_\w+)\b", re.IGNORECASE)
"""Words by which a text asks what tables and views there are."""
HEADER = re.compile(rf"\A(\s*{COMMENT})+")
"""Comments before anything else: those of the queries that ship say in words what results show."""


def statements() -> str:
    """The SQL that makes all macros and views."""
    return "\n".join(path.read_text(encoding="utf-8") for path in FILES)


@functools.cache
def macros() -> str:
    """The statements that make the macros."""
    return VIEW.sub("", statements())


@functools.cache
def bodies() -> Mapping[str, str]:
    """The query of each view by name, in the order in which they build on one another."""
    return dict(VIEW.findall(statements()))


@functools.cache
def kept() -> frozenset[str]:
    """Views that a session holds as tables once they are asked for.

    A view is read again whenever it is used, and so is what it, or a view before it, names. Those of the plan stand
    behind every answer, the verdicts are the dearest, and what a page asks of models and of masked gradients it asks
    several times.
    """
    of_plan = VIEW.findall(PLAN.read_text(encoding="utf-8"))
    return frozenset({*dict(of_plan), "gradient_masking", "verdicts", "model_verdicts"})


def needed(text: str) -> set[str]:
    """Tables and views that an SQL text may read: what its words name, and all that stands behind that."""
    words = _words(text)
    return (words & TABLES.keys()).union(*(_behind()[view] for view in words & _behind().keys()))


def lists_all(text: str) -> bool:
    """Whether an SQL text may ask what views there are."""
    return CATALOGUE.search(HEADER.sub("", text)) is not None


@functools.cache
def _behind() -> Mapping[str, set[str]]:
    """Of each view the tables and views that it rests on, and itself."""
    found: dict[str, set[str]] = {}
    for name, body in bodies().items():
        words = _words(QUOTED.sub(" ", body))
        found[name] = (words & TABLES.keys() | {name}).union(*(found[view] for view in words & found.keys()))
    return found


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
