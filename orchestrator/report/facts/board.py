"""The leaderboard: at each place every model with its verdict, its measures beside retraining, and its price."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.report.exposure import Exposed
from orchestrator.report.leaves import finite
from orchestrator.results.charts.answers import Answers
from orchestrator.results.charts.measures import Measure, measures
from orchestrator.results.evidence import (
    APART,
    EQUIVALENT,
    ROLE_ORDER,
    UNDECIDED,
    Evidence,
    Finding,
    ModelVerdict,
    Place,
    Value,
)

ORDER = (EQUIVALENT, UNDECIDED, APART)
"""Of verdicts, from the closest to retraining."""
GAPS = ("average_gap", "average_token_gap")
"""Of images, and of documents."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A model on a measure."""

    value: float
    low: float | None
    high: float | None
    difference: float | None = None
    """From retraining; None for the retrained models themselves."""
    difference_low: float | None = None
    difference_high: float | None = None
    retrained: float | None = None
    margin: float | None = None
    p: float | None = None
    """Adjusted."""
    verdict: str = ""
    visible: bool = False
    masked: bool = False
    declared_after: bool = False
    settles: str = ""


@dataclass(frozen=True, kw_only=True)
class Price:
    """What unlearning took, on one kind of device."""

    device: str
    seconds: float | None
    retrained_seconds: float | None
    ratio: float | None
    least: float | None
    most: float | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model of a place."""

    label: str
    method: str
    scope: str
    role: str
    verdict: str
    """Empty for the retrained models, which are not judged."""
    standing: str
    """On how many measures, and what is to be known of it."""
    rank: int | None
    """Among audited models, the closest to retraining is 1."""
    gap: float | None
    """Mean absolute difference in accuracy, of documents that of their tokens, on the three parts of the data."""
    cells: tuple[Cell | None, ...]
    """In the order of the columns."""
    prices: tuple[Price, ...]
    exposed: Exposed | None
    """Examples that are told apart by themselves; None where no such test was run."""
    discoveries: int | None
    explored: int
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Board:
    """The leaderboard of a place."""

    columns: tuple[Measure, ...]
    rows: tuple[Row, ...]
    """References and controls first, then audited models, closest to retraining first."""
    left_out: int = 0
    """Audited models that are not among the rows, between the closest and the farthest, for there are too many."""

    @property
    def audited(self) -> list[Row]:
        """Closest to retraining first."""
        return [row for row in self.rows if row.role == "audited"]

    def of_role(self, role: str) -> Row | None:
        """The first model of a role."""
        return next((row for row in self.rows if row.role == role), None)

    def with_audited(self, kept: Sequence[Row]) -> Board:
        """The same with references and controls, and of the audited models some."""
        others = [row for row in self.rows if row.role != "audited"]
        left_out = len(self.rows) - len(others) - len(kept)
        return replace(self, rows=(*others, *kept), left_out=left_out)


def board(answers: Answers, place: Place, exposed: Mapping[tuple[Any, ...], Exposed]) -> Board:
    """The leaderboard of a place.

    Args:
        answers: of the results.
        place: which.
        exposed: of `exposure.exposed_models`.
    """
    evidence = answers.evidence
    columns = measures(evidence, place)
    prices = _prices(answers, place)
    controls = [_reference(evidence, place, role, columns, exposed) for role in ("reference", "noise_floor")]
    models = sorted(evidence.judged_models(place), key=lambda m: _standing(answers, m))
    rows, rank = [row for row in controls if row is not None], 0
    for model in models:
        rank += model.role == "audited"
        rows.append(
            _judged(
                answers,
                model,
                columns,
                prices=_of_setting(prices.get(model.model, ()), evidence.apart_by(model)),
                exposed=exposed.get((place, model.role, answers.name(model))),
                rank=rank if model.role == "audited" else None,
            )
        )
    return Board(columns=tuple(columns), rows=tuple(rows))


def _standing(answers: Answers, model: ModelVerdict) -> tuple[Any, ...]:
    """Where a model stands: controls first; by verdict, then by its largest difference in margins."""
    return (
        ROLE_ORDER.index(model.role),
        ORDER.index(model.verdict),
        distance(answers.evidence.primary(model)),
        answers.name(model),
    )


def distance(findings: Sequence[Finding]) -> float:
    """The largest difference from retraining on a primary measure, in margins of it; infinite where one of them is, or
    is no number, or none is known."""
    known = [
        abs(f.difference) / f.margin
        for f in findings
        if f.difference is not None and f.margin not in (None, 0.0)
    ]
    return max(known, default=math.inf) if not any(map(math.isnan, known)) else math.inf


def _judged(
    answers: Answers,
    model: ModelVerdict,
    columns: Sequence[Measure],
    *,
    prices: Sequence[Price],
    exposed: Exposed | None,
    rank: int | None,
) -> Row:
    by_measure = answers.evidence.by_measure(answers.evidence.of_model(model))
    return Row(
        label=answers.name(model),
        method=model.method,
        scope=model.scope,
        role=model.role,
        verdict=model.verdict,
        standing=standing(model),
        rank=rank,
        gap=_gap(by_measure.values()),
        cells=tuple(_cell(by_measure.get(column.key)) for column in columns),
        prices=tuple(prices),
        exposed=exposed,
        discoveries=model.discoveries,
        explored=model.explored,
        seeds=model.seeds,
    )


def standing(model: ModelVerdict) -> str:
    """On how many of its primary measures a verdict rests, and what is to be known of it."""
    count = {APART: model.told_apart, EQUIVALENT: model.shown_equivalent}.get(model.verdict, model.undecided)
    notes = [f"{count} of {model.primary_measures}"]
    notes += ["visible"] if model.visible and model.verdict == EQUIVALENT else []
    notes += ["declared after"] if model.declared_after else []
    return ", ".join(notes)


def _gap(values: Iterable[Value]) -> float | None:
    return next((v.value for v in values if v.metric in GAPS and v.attack_family == "none"), None)


def _reference(
    evidence: Evidence,
    place: Place,
    role: str,
    columns: Sequence[Measure],
    exposed: Mapping[tuple[Any, ...], Exposed],
) -> Row | None:
    values = evidence.at(place, role=role)
    if not values:
        return None
    by_measure = evidence.by_measure(values)
    first = values[0]
    return Row(
        label=evidence.label(role, *first.model),
        method=first.method,
        scope=first.scope,
        role=role,
        verdict="",
        standing="",
        rank=None,
        gap=None if role == "reference" else _gap(by_measure.values()),
        cells=tuple(_cell(by_measure.get(column.key)) for column in columns),
        prices=(),
        exposed=exposed.get((place, role, evidence.label(role, *first.model))),
        discoveries=None,
        explored=0,
        seeds=max(v.seeds for v in values),
    )


def _cell(value: Value | None) -> Cell | None:
    if value is None:
        return None
    if not isinstance(value, Finding):
        return Cell(value=value.value, low=value.value_low, high=value.value_high)
    return Cell(
        value=value.value,
        low=value.value_low,
        high=value.value_high,
        difference=value.difference,
        difference_low=value.difference_low,
        difference_high=value.difference_high,
        retrained=value.retrained,
        margin=value.margin,
        p=value.p_adjusted,
        verdict=value.verdict,
        visible=value.visible,
        masked=bool(value.masked_gradients),
        declared_after=value.declared_after,
        settles=value.settles,
    )


Priced = tuple[str, Price]
"""A price, and what sets the setting of its model apart."""


def _prices(answers: Answers, place: Place) -> Mapping[tuple[str, str], list[Priced]]:
    """What each model took: a price for each kind of device that seeds of it ran on, for these have no mean. What is
    no finite number is unknown, so that no model is the cheapest by it."""
    found = defaultdict(list)
    for row in answers.rows_at(place, "unlearning_cost"):
        price = Price(
            device=row["device"],
            seconds=row["device_seconds"],
            retrained_seconds=row["retrained_device_seconds"],
            ratio=row["ratio"],
            least=row["ratio_least"],
            most=row["ratio_most"],
        )
        found[row["method"], row["scope"]].append((row["setting_label"] or "", finite(price)))
    return found


def _of_setting(prices: Sequence[Priced], apart_by: str) -> list[Price]:
    """The prices of the setting that a model is told by; all where prices are told apart by something else."""
    return [price for label, price in prices if label == apart_by] or [price for _, price in prices]
