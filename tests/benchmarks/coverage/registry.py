"""All cases, by what they measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasks.metrics.catalogue import CATALOGUE
from tests.benchmarks.coverage import (
    claims,
    documents,
    gaps,
    given,
    groups,
    layers,
    macros,
    margins,
    population,
    proportions,
    shadows,
    verdicts,
)
from tests.benchmarks.coverage.case import Case, names

FAMILIES = (
    *(
        proportions,
        documents,
        groups,
        gaps,
        population,
        layers,
        macros,
        shadows,
        given,
        margins,
        verdicts,
        claims,
    ),
)
CASES: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)
WITHOUT: Mapping[str, str] = shadows.WITHOUT | {
    "mean": "it is `values` or `distances`, by what the metric declares, cut to its range: their cases measure it",
}
"""Estimates that have an interval and no case, and why."""


def metric_of(estimate: str) -> str:
    """The metric (or macro, or column) of an estimate, which may go on with "at" or "of" what it was taken."""
    return estimate.split(" at ")[0].split(" of ")[0]


def uncovered() -> Iterator[str]:
    """Metrics and macros with an interval that no case measures and no reason excuses."""
    measured = {metric_of(name) for name in names(CASES)} | WITHOUT.keys()
    for metric in CATALOGUE.values():
        readings = {metric.error, *(reading.error for reading in metric.instead.values())}
        if readings != {"none"} and metric.name not in measured:
            yield metric.name
    yield from sorted(macros.interval_macros() - measured)


def select(only: str | None) -> tuple[Case, ...]:
    """Cases whose family, name or estimates hold this text."""
    return tuple(
        case
        for case in CASES
        if only is None or any(only in text for text in (case.family, case.name, *case.estimates))
    )
