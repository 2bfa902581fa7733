"""What charts and pages read of results: the verdicts once, every query once, and how models are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from orchestrator.results.evidence import PLACE, ROLE_ORDER, Evidence, Finding, ModelVerdict, Place, gather
from orchestrator.results.own_queries import ask
from orchestrator.results.rows import rows_of

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

Row = dict[str, Any]
"""A row of a query, or of a chart."""


class Answers:
    """Answers of one session over results, asked for once each."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._asked: dict[tuple[Any, ...], list[Row]] = {}
        self._placed: dict[tuple[Any, ...], dict[Place, list[Row]]] = {}

    @cached_property
    def evidence(self) -> Evidence:
        """The verdicts, and the values of the retrained models."""
        return gather(self.results)

    def rows(self, query: str, **params: Any) -> list[Row]:
        """The rows of a query that ships."""
        key = (query, *sorted(params.items()))
        if key not in self._asked:
            self._asked[key] = list(rows_of(self.results.query(query, **params)))
        return self._asked[key]

    def rows_at(self, place: Place, query: str, **params: Any) -> list[Row]:
        """Those of a place."""
        key = (query, *sorted(params.items()))
        if key not in self._placed:
            self._placed[key] = by_place(self.rows(query, **params))
        return self._placed[key].get(place, [])

    def own(self, query: str, **params: Any) -> list[Row]:
        """The rows of a query that charts and pages alone ask."""
        return ask(self.results, query, **params)

    def label(self, row: Mapping[str, Any]) -> str:
        """How the model of a row is called: with what sets its setting apart from others at its place, if anything."""
        text = self.evidence.label(row["role"], row["method"], row["scope"])
        return f"{text} ({row['setting_label']})" if row.get("setting_label") else text

    @cached_property
    def _names(self) -> dict[tuple[Any, ...], str]:
        return {self._key(m): self.evidence.apart_by(m) for m in self.evidence.models}

    @staticmethod
    def _key(model: ModelVerdict | Finding) -> tuple[Any, ...]:
        return (model.place, model.method, model.scope, model.role, model.model_setting)

    def judged_name(self, row: Mapping[str, Any], label: str) -> str:
        """How the judged model that a row is of is called (`name`), whatever else sets the row's own label apart.

        Args:
            row: of a query or a chart, with place, role, method and scope; its setting, where it has one, tells it from
                models of other settings there.
            label: of the row, for one that has no setting, or that of a model: then the label has to tell.
        """
        place = place_of(row)
        names = self._judged.get((place, row["role"], row["method"], row["scope"]), {})
        if len(set(names.values())) == 1:
            return next(iter(names.values()))
        return names.get(row.get("setting"), label)

    @cached_property
    def _judged(self) -> dict[tuple[Any, ...], dict[str | None, str]]:
        """The names of models by place, role, method and scope, and of these by the settings of their cells."""
        found: dict[tuple[Any, ...], dict[str | None, str]] = {}
        for finding in self.evidence.findings:
            key = (finding.place, finding.role, *finding.model)
            found.setdefault(key, {})[finding.setting] = self.name(finding)
        return found

    def name(self, model: ModelVerdict | Finding) -> str:
        """How a judged model is called."""
        apart_by = self._names.get(self._key(model), "")
        text = self.evidence.label(model.role, model.method, model.scope)
        return f"{text} ({apart_by})" if apart_by else text


def place_of(row: Mapping[str, Any]) -> Place:
    """The place of a row."""
    return Place(dataset=row["dataset"], architecture=row["architecture"], forget_set=row["forget_set"])


def by_place(rows: Iterable[Row]) -> dict[Place, list[Row]]:
    """The rows of each place, in their order."""
    groups, where = defaultdict[tuple[Any, ...], list[Row]](list), itemgetter(*PLACE)
    for row in rows:
        groups[where(row)].append(row)
    return {place_of(group[0]): group for group in groups.values()}


def at(place: Place) -> Row:
    """The columns of a place."""
    return {"dataset": place.dataset, "architecture": place.architecture, "forget_set": place.forget_set}


def of(row: Mapping[str, Any]) -> Row:
    """The columns of a row that say of which model and place it is."""
    return {
        "dataset": row["dataset"],
        "architecture": row["architecture"],
        "forget_set": row["forget_set"],
        "role": row["role"],
        "method": row["method"],
        "scope": row["scope"],
    }


def in_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Controls first, then audited models by name."""
    return (ROLE_ORDER.index(row["role"]), row["method"], row["scope"], row.get("setting_label") or "")


def mean(values: list[float]) -> float:
    """The mean of some numbers."""
    return sum(values) / len(values)


def least(values: list[float | None]) -> float | None:
    """The lowest of those that are known; None where none is."""
    return min((v for v in values if v is not None), default=None)


def most(values: list[float | None]) -> float | None:
    """The highest of those that are known; None where none is."""
    return max((v for v in values if v is not None), default=None)
