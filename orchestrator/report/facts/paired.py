"""Differences of two models of a place, paired by seed: of as many pairs as a page has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.compute as pc

from orchestrator.report.facts.board import Board, Row
from orchestrator.results.charts.answers import Answers
from orchestrator.results.evidence import Finding, ModelVerdict, Place

QUERY = "method_pairs"
MOST_MODELS = 16
"""Audited models of a place up to which pairs of them are asked for."""
MOST_DIFFERENCES = 4_000
"""Differences in a page, of all places together."""
Key = tuple[Any, ...]


class Difference(NamedTuple):
    """By how much one model is above another on a measure."""

    value: float
    low: float | None
    high: float | None
    no_interval: str = ""
    """Why there is none; empty where there is one."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models of a place by their numbers, with a difference for each column of the leaderboard."""

    one: int
    other: int
    differences: tuple[Difference | None, ...]
    """The first less the second; None where it was not measured of both in the same way."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Of a place."""

    found: tuple[Pair, ...]
    left_out: int
    """Pairs of models that can be chosen for which there is no room, or that are among too many models."""


def pairs(
    answers: Answers, places: Sequence[Place], boards: Sequence[Board], compared: Sequence[Sequence[Row]]
) -> list[Pairs]:
    """The pairs of each place: first those of the closest with the farthest model, then as many as there is room for.

    Args:
        answers: of the results.
        places: in order.
        boards: their leaderboards.
        compared: the rows of each that a reader can choose, closest first.
    """
    sizes = [len(board.audited) if len(rows) > 1 else 0 for board, rows in zip(boards, compared, strict=True)]
    known = _differences(answers, boards) if any(1 < size <= MOST_MODELS for size in sizes) else {}
    models = [_models(answers, place, rows) for place, rows in zip(places, compared, strict=True)]
    wanted = [
        _wanted(len(own)) if 1 < size <= MOST_MODELS else [] for own, size in zip(models, sizes, strict=True)
    ]
    room = MOST_DIFFERENCES
    found = []
    for place, board, own, numbers in zip(places, boards, models, wanted, strict=True):
        kept = numbers[: max(1, room // max(1, len(board.columns)))]
        room -= len(kept) * len(board.columns)
        made = [_pair(place, board, own, one, other, known) for one, other in kept]
        found.append(Pairs(found=tuple(made), left_out=len(_wanted(len(own))) - len(made)))
    return found


def _wanted(models: int) -> list[tuple[int, int]]:
    """Pairs by number, the closest with the farthest first; none of one model."""
    first = (0, models - 1)
    others = ((i, j) for i in range(models) for j in range(i + 1, models) if (i, j) != first)
    return [first, *others] if models > 1 else []


Model = tuple[ModelVerdict, Mapping[Key, Finding]]


def _models(answers: Answers, place: Place, rows: Sequence[Row]) -> list[Model]:
    """The models of some rows of a leaderboard, with their findings by measure."""
    by_name = {answers.name(m): m for m in answers.evidence.judged_models(place, role="audited")}
    ordered = [by_name[row.label] for row in rows]
    return [(m, answers.evidence.by_measure(answers.evidence.of_model(m))) for m in ordered]


def _differences(answers: Answers, boards: Sequence[Board]) -> Mapping[Key, Difference]:
    """By place, measure, conditions and both models, either way round."""
    metrics = sorted({column.key[0] for board in boards for column in board.columns})
    table = answers.results.query(QUERY, most=MOST_MODELS)
    rows = table.filter(pc.is_in(table["metric"], value_set=pc.cast(metrics, "string"))).to_pylist()
    found = {}
    for row in rows:
        param = "" if row["param"] is None else f"{row['param']:g}"
        measure = (row["metric"], row["split"], row["attack"], row["variant"], param, row["game"] or "")
        place = (row["dataset"], row["architecture"], row["forget_set"])
        one = (row["method"], row["scope"], row["setting"])
        other = (row["other_method"], row["other_scope"], row["other_setting"])
        value, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
        why = row["no_interval"] or ""
        key = (*place, measure, row["conditions"])
        found[*key, one, other] = Difference(value, low, high, why)
        least, most = (None if end is None else -end for end in (high, low))
        found[*key, other, one] = Difference(-value, least, most, why)
    return found


def _pair(
    place: Place, board: Board, models: Sequence[Model], one: int, other: int, known: Mapping[Key, Difference]
) -> Pair:
    def difference(measure: tuple[str, ...]) -> Difference | None:
        findings = [models[i][1].get(measure) for i in (one, other)]
        conditions = {f.conditions for f in findings if f is not None}
        if len(conditions) != 1 or None in findings:
            return None
        at = (place.dataset, place.architecture, place.forget_set, measure, conditions.pop())
        return known.get(
            (*at, *((m.method, m.scope, m.model_setting) for m, _ in (models[one], models[other])))
        )

    return Pair(one=one, other=other, differences=tuple(difference(column.key) for column in board.columns))
