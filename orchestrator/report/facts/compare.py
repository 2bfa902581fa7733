"""Two models of a place side by side: all that the leaderboard says of each, whom each harms, and what they share."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from orchestrator.progress.duration import measured_duration
from orchestrator.report.facts.board import Board, Cell
from orchestrator.report.facts.board import Row as BoardRow
from orchestrator.report.facts.paired import MOST_MODELS, Difference, Pairs, pairs
from orchestrator.report.templates import number
from orchestrator.results.charts.answers import Answers, Row, by_place
from orchestrator.results.charts.colours import VERDICTS
from orchestrator.results.charts.rows_examples import CONFIDENCE
from orchestrator.results.evidence import Place, agreeing, interval, signed

MOST_PLACES = 40
"""Places at which models are compared."""
MOST_COMPARED = 80
"""Models that a reader can choose, of all places together; two at least of each."""
MOST_SHARED = 12
"""Examples that stand out under two models which a page shows, those first that the first model exposes most."""
BEFORE = ("verdict", "rests on")
AFTER = ("average gap", "cost, retraining = 1", "exposed one by one", "exploratory discoveries")
HARM = ("retained", "test")


class Entry(NamedTuple):
    """What stands in a cell: its text, a smaller line, and the class of the verdict that colours it or nothing."""

    text: str
    small: str = ""
    look: str = ""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A model in the words of a column."""

    label: str
    method: str
    entries: tuple[Entry, ...]
    """In the order of the headings."""
    stand_out: int
    """How many examples stand out under it."""


class Shared(NamedTuple):
    """The examples that stand out under two models."""

    one: int
    """Its number, the lower."""
    other: int
    examples: int
    """Of all of them."""
    shown: tuple[int, ...]
    """Some, the most exposed first."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The audited models of a place that can be compared, the closest to retraining first."""

    headings: tuple[str, ...]
    measured: tuple[int, int]
    """The headings that are measures: the first, and the one after the last."""
    models: tuple[Compared, ...]
    """The closest and the farthest ones, where there are many."""
    left_out: int
    """Models that cannot be chosen."""
    pairs: Pairs
    statistic: str
    """The way to be exposed by which examples are counted; empty where none stands out."""
    shared: tuple[Shared, ...]
    """Of every two models."""

    @property
    def lines(self) -> list[tuple[str, Entry, Entry, Difference | None]]:
        """Of the closest and the farthest model: heading, what each has, and by how much they differ."""
        first, last = self.models[0], self.models[-1]
        start, end = self.measured
        found = self.pairs.found[0].differences if self.pairs.found else [None] * (end - start)
        differences = [*[None] * start, *found, *[None] * (len(self.headings) - end)]
        return list(zip(self.headings, first.entries, last.entries, differences, strict=True))

    @property
    def first_shared(self) -> Shared:
        """What the closest and the farthest model share."""
        ends = (0, len(self.models) - 1)
        return next(found for found in self.shared if (found.one, found.other) == ends)

    @property
    def shared_words(self) -> str:
        """What stands before the examples that both leave exposed."""
        first, last, shared = self.models[0], self.models[-1], self.first_shared
        silent = next((m for m in (first, last) if not m.stand_out), None)
        if silent is not None:
            return f"No example stands out under {silent.label}."
        more = f"; {len(shared.shown)} of them are shown" if shared.examples > len(shared.shown) else ""
        return (
            f"By {self.statistic} {shared.examples} {agreeing(shared.examples, 'example stands', 'examples stand')} "
            f"out under both, of {first.stand_out} under {first.label} and {last.stand_out} under {last.label}{more}."
        )


def side_by_side(
    answers: Answers, places: Sequence[Place], boards: Sequence[Board], rows: Mapping[str, Sequence[Row]]
) -> list[Comparison]:
    """A comparison for each place.

    Args:
        answers: of the results.
        places: in order.
        boards: their leaderboards.
        rows: of every chart by its name.
    """
    each = max(2, min(MOST_MODELS, MOST_COMPARED // max(1, min(len(places), MOST_PLACES))))
    chosen = [_chosen(board, each if i < MOST_PLACES else 0) for i, board in enumerate(boards)]
    paired = pairs(answers, places, boards, chosen)
    harm, exposure = (
        by_place(r for r in rows[name] if r["role"] == "audited") for name in ("harm", "exposure")
    )
    return [
        _comparison(
            board,
            some,
            _by_model(answers, harm.get(place, [])),
            _by_model(answers, exposure.get(place, [])),
            found,
        )
        for place, board, some, found in zip(places, boards, chosen, paired, strict=True)
    ]


def _chosen(board: Board, most: int) -> list[BoardRow]:
    """The closest models and the farthest ones."""
    audited = board.audited
    if len(audited) <= most:
        return audited
    nearest = (most + 1) // 2
    return [*audited[:nearest], *audited[len(audited) - (most - nearest) :]]


Models = Mapping[str, Sequence[Row]]
"""The rows of a chart at a place, by what leaderboards call the model that each is of."""


def _by_model(answers: Answers, rows: Sequence[Row]) -> Models:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    of_line = itemgetter("method", "scope", "label")
    for row in rows:
        groups.setdefault(of_line(row), []).append(row)
    found: dict[str, list[Row]] = {}
    for line in groups.values():
        found.setdefault(answers.judged_name(line[0], line[0]["label"]), []).extend(line)
    return found


def _comparison(
    board: Board, chosen: Sequence[BoardRow], harm: Models, exposure: Models, found: Pairs
) -> Comparison:
    columns = tuple(f"{column.heading}{' *' if column.primary else ''}" for column in board.columns)
    harmed = {(label, row["examples"]): row for label, rows in harm.items() for row in rows}
    whose = [kind for kind in HARM if any(examples == kind for _, examples in harmed)]
    statistic = _statistic(exposure)
    standing_out = {row.label: _standing_out(exposure.get(row.label, ()), statistic) for row in chosen}
    after = (*AFTER, *(f"{kind} examples harmed" for kind in whose), "seeds")
    return Comparison(
        headings=(*BEFORE, *columns, *after),
        measured=(len(BEFORE), len(BEFORE) + len(columns)),
        models=tuple(
            Compared(
                label=row.label,
                method=row.method,
                entries=(
                    *_before(row),
                    *(_measured(cell) for cell in row.cells),
                    *_after(row),
                    *(_harmed(harmed.get((row.label, kind))) for kind in whose),
                    Entry(str(row.seeds)),
                ),
                stand_out=len(standing_out[row.label]),
            )
            for row in chosen
        ),
        left_out=len(board.audited) - len(chosen),
        pairs=found,
        statistic=statistic,
        shared=_shared([standing_out[row.label] for row in chosen]),
    )


def _shared(standing_out: Sequence[Sequence[int]]) -> tuple[Shared, ...]:
    sets = [set(examples) for examples in standing_out]
    found = []
    for one, other in itertools.combinations(range(len(sets)), 2):
        both = [example for example in standing_out[one] if example in sets[other]]
        found.append(Shared(one, other, len(both), tuple(both[:MOST_SHARED])))
    return tuple(found)


def _before(row: BoardRow) -> tuple[Entry, Entry]:
    return Entry(row.verdict, "", VERDICTS[row.verdict]), Entry(f"{row.standing} primary measures")


def _measured(cell: Cell | None) -> Entry:
    if cell is None:
        return Entry("not measured")
    if cell.difference is None:
        return Entry(number(cell.value))
    ends = "" if cell.difference_low is None else f" ({interval(cell.difference_low, cell.difference_high)})"
    bound = "; upper bound" if cell.masked else ""
    small = f"{signed(cell.difference)}{ends} from retraining: {cell.verdict}{bound}"
    return Entry(number(cell.value), small, VERDICTS.get(cell.verdict, ""))


def _after(row: BoardRow) -> tuple[Entry, ...]:
    priced = [p for p in row.prices if p.ratio is not None]
    prices = ", ".join(number(p.ratio, 2) for p in priced) or "unknown"
    took = ", ".join(f"{measured_duration(p.seconds)} on {p.device}" for p in priced)
    exposed = row.exposed
    told = (
        Entry(f"{exposed.told_apart} of {exposed.tested}", exposed.attack) if exposed else Entry("not tested")
    )
    explored = "none" if row.discoveries is None else f"{row.discoveries} of {row.explored}"
    return Entry(number(row.gap)), Entry(prices, took), told, Entry(explored)


def _harmed(row: Row | None) -> Entry:
    if row is None:
        return Entry("not measured")
    ends = "" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}"
    return Entry(number(row["value"]), ends)


def _statistic(exposure: Models) -> str:
    """The way to be exposed by which most models were looked at: of several a test, the one that names most."""
    models: dict[str, set[str]] = {}
    told: Counter[str] = Counter()
    for label, rows in exposure.items():
        for (statistic, stands_out), dots in Counter(map(itemgetter("statistic", "told"), rows)).items():
            models.setdefault(statistic, set()).add(label)
            told[statistic] += dots if stands_out else 0
    return max(
        models,
        key=lambda statistic: (len(models[statistic]), statistic != CONFIDENCE, told[statistic]),
        default="",
    )


def _standing_out(exposure: Sequence[Row], statistic: str) -> tuple[int, ...]:
    """The examples that stand out under a model, the most exposed first."""
    told = [row for row in exposure if row["told"] and row["statistic"] == statistic]
    told.sort(key=lambda r: (-abs(r["value"]) if statistic == CONFIDENCE else -r["value"], r["example"]))
    return tuple(dict.fromkeys(row["example"] for row in told))
