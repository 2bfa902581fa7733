"""What of large results fits into a page: which places, which models of each, which rows of a chart; each is said.

A page stays readable and below 3 MB whatever it is made of. What is left out never changes a sentence: headline, counts
and answers are of all models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

from orchestrator.report.facts.board import Board
from orchestrator.results.charts.answers import Row
from orchestrator.results.charts.rows_examples import ROW_OF_DOTS
from orchestrator.results.evidence import PLACE

MOST_PLACES = 100
"""Places that a page has."""
MOST_MODELS = 1_000
"""Rows of all leaderboards."""
MOST_ROWS: Mapping[str, int] = {"forest": 5_000, "roc": 3_000, "exposure": 1_500}
"""Rows of a chart, where these are not `USUAL`; of `exposure` rows of dots."""
USUAL = 2_000
MOST_SEEDS = 160
"""Rows of the chart `seeds` at one place."""
Step = tuple[int | None, int | None]
"""Models of a place and values of a choice that are kept; None: all."""
STEPS: tuple[Step, ...] = (
    *((None, None), (128, None), (64, None), (32, None), (16, None), (8, None)),
    *((8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (2, 1)),
)
"""From all to the fewest."""
Key = tuple[Any, ...]
_place = itemgetter(*PLACE)
_dots = itemgetter(*ROW_OF_DOTS)
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Which rows of a chart a page draws."""

    rows: list[Row]
    remark: str
    """Which they are; empty where it is all of them."""


def both_ends(items: Sequence[Item], count: int) -> list[Item]:
    """The first and the last of some items, `count` together; all where there are no more."""
    if len(items) <= count:
        return list(items)
    return [*items[: count - count // 2], *items[len(items) - count // 2 :]]


def trimmed(boards: Sequence[Board]) -> list[Board]:
    """The leaderboards with references and controls, and of each place the audited models at both ends.

    Args:
        boards: with all models; `MOST_MODELS` rows or few more remain.
    """
    counts = [len(board.audited) for board in boards]
    others = sum(len(board.rows) for board in boards) - sum(counts)
    room = MOST_MODELS - others
    each = next(
        (n for n in range(max(counts, default=0), 2, -1) if sum(min(c, n) for c in counts) <= room), 2
    )
    return [board.with_audited(both_ends(board.audited, each)) for board in boards]


class Ranks:
    """Where the models of each place stand on its leaderboard, the closest to retraining first."""

    def __init__(self, places: Iterable[Any], boards: Iterable[Board]) -> None:
        self._order: dict[Key, dict[Key, int]] = {}
        for place, board in zip(places, boards, strict=True):
            order = self._order.setdefault((place.dataset, place.architecture, place.forget_set), {})
            for row in board.audited:
                order.setdefault((row.method, row.scope), len(order))

    def among(self, place: Key, model: Key, most: int | None) -> bool:
        """Whether a method and scope are one of the `most` at both ends of their place, or none that was audited."""
        order = self._order.get(place, {})
        rank = order.get(model)
        if rank is None or most is None or len(order) <= most:
            return True
        return rank < most - most // 2 or rank >= len(order) - most // 2


def fitted(name: str, choices: Sequence[str], rows: Sequence[Row], ranks: Ranks) -> Fit:
    """The rows of a chart that a page draws: all, or those of the models at both ends of each place.

    Args:
        name: of the chart.
        choices: columns of which a drawing has one value each.
        rows: of all places and models.
        ranks: of the models.
    """
    if name == "seeds":
        return _with_fewer_seeds(rows, ranks)
    most = MOST_ROWS.get(name, USUAL)
    if name == "exposure":
        of_row = list(map(_dots, rows))
        lines = dict(zip(reversed(of_row), reversed(rows), strict=True))
        first, step = _by_steps(list(lines.values()), choices, ranks, most)
        chosen = set(map(_dots, first))
        kept = [row for row, line in zip(rows, of_row, strict=True) if line in chosen]
    else:
        kept, step = _by_steps(rows, choices, ranks, most)
    return Fit(rows=kept, remark=_remark(len(kept), len(rows), choices, step))


def _by_steps(rows: Sequence[Row], choices: Sequence[str], ranks: Ranks, most: int) -> tuple[list[Row], Step]:
    """The rows of the first of `STEPS` that leaves no more than `most`, else of the last; and which step it is."""
    places = _places_of_choices(rows, choices)
    keys = [(_place(row), (row.get("method"), row.get("scope")), _choice(row, choices)) for row in rows]
    counts = Counter(keys)
    for models, values in STEPS:
        kept = {
            (place, model, choice)
            for place, model, choice in counts
            if (values is None or places[place].get(choice, 0) < values) and ranks.among(place, model, models)
        }
        if sum(counts[one] for one in kept) <= most:
            break
    return [row for row, one in zip(rows, keys, strict=True) if one in kept], (models, values)


def _places_of_choices(rows: Sequence[Row], choices: Sequence[str]) -> dict[Key, dict[Key, int]]:
    """At each place the values of the choices, numbered."""
    found: dict[Key, dict[Key, int]] = {}
    for row in rows:
        if all(row[name] is not None for name in choices):
            order = found.setdefault(_place(row), {})
            order.setdefault(_choice(row, choices), len(order))
        else:
            found.setdefault(_place(row), {})
    return found


def _remark(kept: int, count: int, choices: Sequence[str], step: Step) -> str:
    if kept == count:
        return ""
    models, values = step
    ends = f"the {models} models at both ends of the leaderboard"
    which = f"of each place those of {ends}, and of references and controls"
    if values is not None and choices:
        which += f", for the first {values} of its choices"
    return f"{kept} of {count} rows are in this page: {which}; the query has all."


def _with_fewer_seeds(rows: Sequence[Row], ranks: Ranks) -> Fit:
    """Of each model the lowest, the highest, and every k-th seed between, where a place has many rows."""
    groups: dict[Key, dict[Key, list[int]]] = {}
    for i, row in enumerate(rows):
        model = (row["role"], row["method"], row["scope"], row["label"].rpartition(", seed ")[0])
        groups.setdefault(_place(row), {}).setdefault(model, []).append(i)
    chosen: set[int] = set()
    for models in groups.values():
        each = max(2, MOST_SEEDS // len(models))
        for found in models.values():
            chosen.update(_spread(sorted(found, key=lambda i: rows[i]["value"]), each))
    kept = [row for i, row in enumerate(rows) if i in chosen]
    drawn, step = _by_steps(kept, (), ranks, USUAL)
    remark = _remark(len(drawn), len(kept), (), step)
    if len(kept) == len(rows):
        return Fit(rows=drawn, remark=remark)
    few = (
        f"{len(drawn)} of {len(rows)} rows are in this page: of each model the lowest, the highest, and every so many "
        "of the seeds between"
    )
    return Fit(rows=drawn, remark=f"{few}; the query has all." + (f" {remark}" if remark else ""))


def _spread(items: Sequence[int], count: int) -> list[int]:
    """So many of some items, at equal steps from the first to the last."""
    if len(items) <= count:
        return list(items)
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _choice(row: Row, choices: Sequence[str]) -> Key:
    return tuple([row[name] for name in choices])
