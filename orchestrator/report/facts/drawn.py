"""The rows of charts as a page carries them: by column, equal values once, with four digits, thinned if many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.results.charts.answers import Answers, Row
from orchestrator.results.charts.chart import PLACE
from orchestrator.results.charts.kinds import KINDS, Kind
from orchestrator.results.evidence import Place

MOST_DOTS = 6_000
"""Single examples that a page draws; of more, those that stand out and every k-th of the others."""
DIGITS = 4
IMPLIED = (*PLACE, "order", "class", "own_low", "own_high")
"""Columns that a page does without: it knows place, order and class from others, and no interval of own values."""
DIGITS_OF_INDEX = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""One for each index, where that is enough."""
Column = Mapping[str, Any]


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
    """By name: {"all": value} where all rows have one, {"of": values, "at": index of each row} (a digit of
    `DIGITS_OF_INDEX` each, or a list), or {"is": values}. The
    column `place` holds numbers of places, a list where a row belongs to several."""


def drawn(answers: Answers, places: Sequence[Place]) -> tuple[dict[str, list[Row]], list[Drawn]]:
    """The rows of every chart by its name, all of them; and as a page carries them."""
    numbers = {(p.dataset, p.architecture, p.forget_set): i for i, p in enumerate(places)}
    rows = {kind.name: kind.rows(answers) for kind in KINDS.values()}
    return rows, [_drawn(kind, rows[kind.name], numbers) for kind in KINDS.values()]


def _drawn(kind: Kind, rows: Sequence[Row], numbers: Mapping[tuple[Any, ...], int]) -> Drawn:
    kept = thinned(rows) if kind.name == "exposure" else list(rows)
    placed = [(_numbers(row, numbers), row) for row in kept]
    placed = [(found, row) for found, row in placed if found]
    names = [name for name in (placed[0][1] if placed else {}) if name not in IMPLIED]
    columns: dict[str, Column] = (
        {"place": column([f[0] if len(f) == 1 else f for f, _ in placed])} if placed else {}
    )
    columns |= {name: column([row[name] for _, row in placed]) for name in names}
    left_out = len(rows) - len(kept)
    remark = _remark(rows, kept) if left_out else ""
    return Drawn(name=kind.name, rows=len(placed), left_out=left_out, remark=remark, columns=columns)


def _remark(rows: Sequence[Row], kept: Sequence[Row]) -> str:
    told, drawn_told = (sum(row["told"] for row in some) for some in (rows, kept))
    standing = "all that stand out" if told == drawn_told else f"{drawn_told} of {told} that stand out"
    return f"{len(kept)} of {len(rows)} dots are drawn: {standing}, and every so many of the others; the query has all."


def _numbers(row: Row, numbers: Mapping[tuple[Any, ...], int]) -> list[int]:
    """The places that a row belongs to: those of its architecture where it is over forget sets."""
    if row["forget_set"] is None:
        return [n for key, n in numbers.items() if key[:2] == (row["dataset"], row["architecture"])]
    return [n for n in [numbers.get(tuple(row[name] for name in PLACE))] if n is not None]


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
    for i, row in enumerate(rows):
        groups.setdefault(tuple(row[n] for n in (*PLACE, "statistic", "label")), []).append(i)
    return {end(found, key=lambda i: rows[i]["value"]) for found in groups.values() for end in (min, max)}


def column(values: Sequence[Any]) -> Column:
    """The values of a column, the shortest way."""
    values = [shortened(value) for value in values]
    if all(value == values[0] and type(value) is type(values[0]) for value in values):
        return {"all": values[0]}
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return {"is": values}
    index: dict[str, int] = {}
    known: list[Any] = []
    at = []
    for value in values:
        key = repr(value)
        if key not in index:
            index[key] = len(known)
            known.append(value)
        at.append(index[key])
    if len(known) > len(values) / 2:
        return {"is": values}
    if len(known) <= len(DIGITS_OF_INDEX):
        return {"of": known, "at": "".join(DIGITS_OF_INDEX[index] for index in at)}
    return {"of": known, "at": at}


def shortened(value: Any) -> Any:
    """A number with the digits that a chart can show."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
