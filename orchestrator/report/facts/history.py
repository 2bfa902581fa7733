"""What is left of single examples over the epochs of unlearning, where a sweep kept trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.report.facts.columns import column
from orchestrator.report.facts.drawn import Drawn
from orchestrator.report.facts.examples import Exhibits
from orchestrator.results.charts.answers import Answers, Row, by_place
from orchestrator.results.evidence import PLACE, Place

QUERY = "example_history"
NAME = "history"
"""Of the chart of one example."""
MOST_ROWS = 6_000
"""Of example, model and epoch, in a page."""
MOST_LINES = 36
"""Lines (an example under a model) of the table of a place that needs no script."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """An example under a model."""

    example: int
    label: str
    values: tuple[float | None, ...]
    """At each epoch of the table."""
    retrained: float | None


@dataclass(frozen=True, kw_only=True)
class PlaceHistory:
    """The most exposed examples of a place over epochs."""

    epochs: tuple[int, ...]
    """The first is before unlearning; none where no trajectories were kept."""
    lines: tuple[Line, ...]
    left_out: int
    """Lines that the page has for its script alone."""
    examples: int
    """Of which a history is in the page."""
    of: int
    """Examples that have one."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Of the examples that a page can open, as many as it has room for."""

    drawn: Drawn
    places: tuple[PlaceHistory, ...]


def history(answers: Answers, places: Sequence[Place], exhibits: Exhibits, dots: Sequence[Row]) -> History:
    """The history of the examples of galleries, then of those that stand out, then of the others.

    Args:
        answers: of the results.
        places: in order.
        exhibits: whose galleries come first.
        dots: rows of the chart `exposure`.
    """
    # Asked only where the cheaper query over all examples has rows.
    table = answers.results.query(QUERY) if answers.rows("forgetting_order") else None
    known = [None if table is None else _at(table, place) for place in places]
    at_place = by_place(dots) if any(known) else {}
    room = MOST_ROWS // max(1, sum(bool(found) for found in known))
    kept: list[Row] = []
    tables = []
    for number, (place, found) in enumerate(zip(places, known, strict=True)):
        ranked = _ranked(exhibits, number, at_place.get(place, [])) if found else []
        rows, examples, total = _kept(found, ranked, room) if found else ([], 0, 0)
        made = [_row(answers, number, row) for row in rows]
        kept += made
        tables.append(_table(made, examples, total))
    columns = {name: column([row[name] for row in kept]) for name in (kept[0] if kept else ())}
    drawn = Drawn(name=NAME, rows=len(kept), left_out=0, remark="", columns=columns)
    return History(drawn=drawn, places=tuple(tables))


def _at(table: pa.Table, place: Place) -> pa.Table:
    """The rows of a place, of models that were seen at several epochs."""
    for name in PLACE:
        table = table.filter(pc.equal(table[name], getattr(place, name)))
    last = table.group_by("setting").aggregate([("epoch", "max")])
    moved = last.filter(pc.greater(last["epoch_max"], 0))["setting"]
    return table.filter(pc.is_in(table["setting"], value_set=moved))


def _ranked(exhibits: Exhibits, number: int, dots: Sequence[Row]) -> list[int]:
    """Examples of a place, which has these dots: those first that a reader opens first."""
    galleries = [s.example for gallery in exhibits.places[number].galleries for s in gallery.shown]
    told = [r["example"] for r in sorted(dots, key=lambda r: -abs(r["value"])) if r["told"]]
    return list(dict.fromkeys([*galleries, *told, *(r["example"] for r in dots)]))


def _kept(table: pa.Table, ranked: Sequence[int], room: int) -> tuple[list[Row], int, int]:
    """The rows of as many examples as there is room for, in this order; how many these are, and of how many."""
    there = set(pc.unique(table["example_id"]).to_pylist())
    each = -(-table.num_rows // len(there))
    ids = [i for i in dict.fromkeys([*ranked, *sorted(there)]) if i in there][: room // each]
    rows = table.filter(pc.is_in(table["example_id"], value_set=pa.array(ids, "int32"))).to_pylist()
    place = {example: i for i, example in enumerate(ids)}
    rows.sort(key=lambda row: place[row["example_id"]])
    return rows, len(ids), len(there)


def _row(answers: Answers, number: int, row: Row) -> Row:
    return {
        "place": number,
        "example": row["example_id"],
        "label": answers.label(row | {"role": "audited"}),
        "epoch": row["epoch"],
        "value": row["separation"],
        "low": row["separation_low"],
        "high": row["separation_high"],
        "without": row["retrained"],
        "without_low": row["retrained_low"],
        "without_high": row["retrained_high"],
    }


def _table(rows: Sequence[Row], examples: int, of: int) -> PlaceHistory:
    epochs = tuple(sorted({row["epoch"] for row in rows}))
    lines: dict[tuple[int, str], dict[int, Row]] = {}
    for row in rows:
        lines.setdefault((row["example"], row["label"]), {})[row["epoch"]] = row
    shown = list(lines.items())[:MOST_LINES]
    return PlaceHistory(
        epochs=epochs,
        lines=tuple(
            Line(
                example=example,
                label=label,
                values=tuple(by_epoch[e]["value"] if e in by_epoch else None for e in epochs),
                retrained=next(iter(by_epoch.values()))["without"],
            )
            for (example, label), by_epoch in shown
        ),
        left_out=len(lines) - len(shown),
        examples=examples,
        of=of,
    )
