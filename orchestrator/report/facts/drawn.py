"""The rows of charts as a page carries them: by column, equal values once, with four digits, thinned if many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from orchestrator.report.facts.columns import Column, column
from orchestrator.report.facts.fitted import Ranks, fitted
from orchestrator.results.charts.answers import Answers, Row
from orchestrator.results.charts.drawable import drawable
from orchestrator.results.charts.kinds import KINDS, Kind
from orchestrator.results.evidence import PLACE, Place

MOST_DOTS = 6_000
"""Single examples that a page draws; of more, those that stand out and every k-th of the others."""
IMPLIED = (*PLACE, "order", "class", "own_low", "own_high")
"""Columns that a page does without: it knows place, order and class from others, and no interval of own values."""
UNDRAWN = "{} rows of all results stand at a number that is not finite and are not drawn; the query has them."


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A chart of a page."""

    name: str
    rows: int
    left_out: int
    """Rows that are not drawn, for there are too many."""
    remark: str
    """Which are drawn, where some are not."""
    columns: Mapping[str, Column]
    """By name, as `columns.column` writes them. The column `place` holds numbers of places, a list where a row belongs
    to several."""


def drawn(
    answers: Answers, places: Sequence[Place], ranks: Ranks
) -> tuple[dict[str, list[Row]], list[Drawn]]:
    """The rows of every chart by its name, all of them; and as a page carries them.

    Args:
        answers: of the results.
        places: that the page has.
        ranks: of the audited models of each.

    Rows that stand at no finite number are in neither.
    """
    numbers = {(p.dataset, p.architecture, p.forget_set): i for i, p in enumerate(places)}
    every = {kind.name: kind.rows(answers) for kind in KINDS.values()}
    rows = {name: drawable(found) for name, found in every.items()}
    undrawn = {name: len(found) - len(rows[name]) for name, found in every.items()}
    return rows, [
        _drawn(kind, rows[kind.name], numbers, ranks, undrawn[kind.name]) for kind in KINDS.values()
    ]


def _drawn(
    kind: Kind, rows: Sequence[Row], numbers: Mapping[tuple[Any, ...], int], ranks: Ranks, undrawn: int
) -> Drawn:
    here = [row for _, row in _placed(rows, numbers)]
    fit = fitted(kind.name, kind.choices, here, ranks)
    kept = thinned(fit.rows) if kind.name == "exposure" else fit.rows
    remarks = [fit.remark] if fit.remark else []
    remarks += [_remark(fit.rows, kept)] if len(kept) < len(fit.rows) else []
    remarks += [UNDRAWN.format(undrawn)] if undrawn else []
    placed = _placed(kept, numbers)
    names = [name for name in (kept[0] if kept else {}) if name not in IMPLIED]
    columns: dict[str, Column] = (
        {"place": column([f[0] if len(f) == 1 else f for f, _ in placed])} if placed else {}
    )
    columns |= {name: column([row[name] for row in kept]) for name in names}
    return Drawn(
        name=kind.name,
        rows=len(kept),
        left_out=len(here) - len(kept),
        remark=" ".join(remarks),
        columns=columns,
    )


def _remark(rows: Sequence[Row], kept: Sequence[Row]) -> str:
    told, drawn_told = (sum(row["told"] for row in some) for some in (rows, kept))
    standing = "all that stand out" if told == drawn_told else f"{drawn_told} of {told} that stand out"
    return f"{len(kept)} of {len(rows)} dots are drawn: {standing}, and every so many of the others; the query has all."


def _placed(rows: Sequence[Row], numbers: Mapping[tuple[Any, ...], int]) -> list[tuple[list[int], Row]]:
    """The rows of places of the page, each behind those that it belongs to."""
    where = itemgetter(*PLACE)
    known = {key: _numbers(key, numbers) for key in set(map(where, rows))}
    return [(known[where(row)], row) for row in rows if known[where(row)]]


def _numbers(at: tuple[Any, ...], numbers: Mapping[tuple[Any, ...], int]) -> list[int]:
    """The places that rows belong to: those of their architecture where they are over forget sets."""
    dataset, architecture, forget_set = at
    if forget_set is None:
        return [n for key, n in numbers.items() if key[:2] == (dataset, architecture)]
    return [numbers[at]] if at in numbers else []


def thinned(rows: Sequence[Row]) -> list[Row]:
    """Rows that stand out and every k-th of the others, `MOST_DOTS` or few more; of too many that stand out every k-th
    too, with each model's lowest and highest."""
    out = [row for row in rows if row["told"]]
    room = MOST_DOTS - len(out)
    others = len(rows) - len(out)
    if others <= room:
        return list(rows)
    if room <= 0:
        step = -(-len(rows) // MOST_DOTS)
        ends = _ends(rows)
        return [row for i, row in enumerate(rows) if i % step == 0 or i in ends]
    step, seen, kept = -(-others // room), 0, []
    for row in rows:
        seen += not row["told"]
        if row["told"] or seen % step == 0:
            kept.append(row)
    return kept


def _ends(rows: Sequence[Row]) -> set[int]:
    """Of each model and statistic the lowest and the highest."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    of_row = itemgetter(*PLACE, "statistic", "label")
    for i, row in enumerate(rows):
        groups.setdefault(of_row(row), []).append(i)
    return {end(found, key=lambda i: rows[i]["value"]) for found in groups.values() for end in (min, max)}
