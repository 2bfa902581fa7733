"""All that a report says, gathered once; as JSON it is the contract that a page is made of, and others may be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from orchestrator.report.exposure import FALSE_DISCOVERIES, QUERY, Exposed, exposed_models, exposed_rows
from orchestrator.report.facts.answer import Request, headline, place_answer
from orchestrator.report.facts.board import Board, board
from orchestrator.report.facts.compare import Comparison, side_by_side
from orchestrator.report.facts.confusion import Confusion, confusion
from orchestrator.report.facts.drawn import Drawn, drawn
from orchestrator.report.facts.examples import Exhibits, exhibits
from orchestrator.report.facts.fitted import MOST_PLACES, Ranks, trimmed
from orchestrator.report.facts.history import History, history
from orchestrator.report.facts.methods import MethodFacts, methods
from orchestrator.report.facts.record import Record, record
from orchestrator.report.leaves import finite
from orchestrator.report.sentences import Counts, comparisons, in_short, reservations
from orchestrator.results.catalogue import find_query
from orchestrator.results.charts.answers import Answers
from orchestrator.results.charts.kinds import KINDS, PER_EXAMPLE
from orchestrator.results.claims import ClaimAnswer
from orchestrator.results.claims import answers as answers_to_claims
from orchestrator.results.commands import query, sweeps
from orchestrator.results.evidence import Evidence, Place

VERSION = 3
"""Of the layout of the JSON."""
FINITE = {"columns", "images"}
"""Fields in which every number is finite already, and that are large."""
MOST_ROWS = 300
"""Rows of leaderboards up to which a page shows everything at once."""
AVERAGES_ALONE = (
    "No per-example attack was run. Population attacks look at averages and are known to miss single examples that a "
    "model still remembers (Hayes et al., 2024)."
)


@dataclass(frozen=True, kw_only=True)
class Head:
    """Which results these are."""

    root: str
    run_id: str | None
    """None where no run is recorded."""
    name: str
    dataset: str
    started: str
    commit: str
    written: str
    primary: tuple[str, ...]
    """Primary measures of the run, in words."""


@dataclass(frozen=True, kw_only=True)
class PlaceFacts:
    """A place with its leaderboard."""

    title: str
    dataset: str
    architecture: str
    forget_set: str
    board: Board


@dataclass(frozen=True, kw_only=True)
class Behind:
    """A query by which a reader sees the numbers behind something."""

    query: str
    command: str
    sql: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a report says."""

    version: int
    head: Head
    headline: str
    in_short: str
    """Empty where there is no verdict."""
    reservations: tuple[str, ...]
    masked: str
    """What masked gradients do to the numbers; empty where nothing is masked."""
    requests: tuple[Request, ...]
    places: tuple[PlaceFacts, ...]
    places_left_out: int
    """Places that the page has not, for there are too many; those where the audit can tell are the last to go."""
    methods: tuple[MethodFacts, ...]
    exposed: tuple[Exposed, ...]
    exposed_at: tuple[int, ...]
    """The place of each of these."""
    exhibits: Exhibits
    charts: tuple[Drawn, ...]
    comparisons: tuple[Comparison, ...]
    """Of each place."""
    confusion: Confusion
    history: History
    claims: tuple[ClaimAnswer, ...]
    record: Record
    behind: Mapping[str, Behind]
    """By name of the query."""
    missing: Mapping[str, str]
    """Commands that compute what charts lack, by name of the chart; with "verdict", "failed" and "per_example"."""

    @property
    def large(self) -> bool:
        """Whether a page shows the leaderboard by primary measures alone, and fewer examples at each place."""
        return sum(len(place.board.rows) for place in self.places) > MOST_ROWS

    def as_json(self) -> str:
        """The contract as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)


def gather_facts(answers: Answers, *, examples: bool = False) -> Facts:
    """Everything that a report on these results says.

    Args:
        answers: of the results.
        examples: whether examples are shown whatever the data set; else those of embedded data alone.

    Returns:
        facts in which a number that is not finite is unknown.
    """
    evidence, results = answers.evidence, answers.results
    claims = answers_to_claims(results)
    exposed = exposed_models(answers)
    counts = {_place(row): row for row in answers.rows("verdict_counts")}
    total = counts.get(None)
    every = sorted(evidence.places, key=partial(_comes_later, counts))
    if len(every) <= MOST_PLACES:
        every = list(evidence.places)
    complete = [board(answers, place, exposed) for place in every]
    asked = _requests(answers, every, complete, counts)
    places, boards = every[:MOST_PLACES], trimmed(complete[:MOST_PLACES])
    requests = _of_places(asked, len(places))
    rows, charts = drawn(answers, places, Ranks(places, complete[:MOST_PLACES]))
    measured: dict[str, Mapping[str, Any]] = {one.name: {} for one in claims if one.verdict != "not answered"}
    shown = exhibits(answers, places, rows["exposure"], asked=examples)
    numbers = {place: number for number, place in enumerate(places)}
    tested = [(numbers[key[0]], row) for key, row in exposed_rows(answers) if key[0] in numbers]
    facts = Facts(
        version=VERSION,
        head=_head(answers),
        headline=headline(asked, complete, total),
        in_short=in_short(total) if total else "",
        reservations=_reservations(evidence, total) if total else (),
        masked=evidence.upper_bounds(evidence.findings),
        requests=requests,
        places_left_out=len(every) - len(places),
        places=tuple(_facts(place, one, places) for place, one in zip(places, boards, strict=True)),
        methods=methods(answers, places, boards),
        exposed=tuple(row for _, row in tested),
        exposed_at=tuple(place for place, _ in tested),
        exhibits=shown,
        charts=tuple(charts),
        comparisons=tuple(side_by_side(answers, places, boards, rows)),
        confusion=confusion(answers, places, boards, shown.class_names),
        history=history(answers, places, shown, rows["exposure"]),
        claims=tuple(claims),
        record=record(answers),
        behind={name: _behind(answers, name, params) for name, params in (_queries() | measured).items()},
        missing=sweeps(
            results,
            {kind.name: kind.flags for kind in KINDS.values()}
            | {"verdict": "", "failed": "--rerun failed", "per_example": PER_EXAMPLE},
        ),
    )
    return finite(facts, besides=FINITE)


def _place(row: Counts) -> Place | None:
    """Where the counts are of; None for all places together."""
    if row["dataset"] is None:
        return None
    return Place(dataset=row["dataset"], architecture=row["architecture"], forget_set=row["forget_set"])


def _reservations(evidence: Evidence, total: Counts) -> tuple[str, ...]:
    by_example = any(f.attack_family == "per_example" for f in evidence.findings if f.role == "audited")
    return (*reservations(total), comparisons(total), *([] if by_example else [AVERAGES_ALONE]))


def _requests(
    answers: Answers, places: Sequence[Place], boards: Sequence[Board], counts: Mapping[Place | None, Counts]
) -> tuple[Request, ...]:
    """A request for each forget set: those on which the audit can tell come first."""
    sizes = {row["forget_set"]: row["n"] for row in answers.own("forget_set_size")}
    groups: dict[tuple[str, str], list[int]] = {}
    for number, place in enumerate(places):
        if place in counts:
            groups.setdefault((place.dataset, place.forget_set), []).append(number)
    found = [
        Request(
            forget_set=forget_set,
            dataset=dataset,
            size=sizes.get(forget_set),
            answers=tuple(
                place_answer(answers.evidence, n, places[n], boards[n], counts[places[n]]) for n in numbers
            ),
        )
        for (dataset, forget_set), numbers in groups.items()
    ]
    return tuple(sorted(found, key=lambda request: not any(answer.sees for answer in request.answers)))


def _comes_later(counts: Mapping[Place | None, Counts], place: Place) -> bool:
    """Whether a page has other places rather than this one: those where the audit can tell."""
    return place not in counts or not counts[place]["seeing"]


def _of_places(requests: Sequence[Request], most: int) -> tuple[Request, ...]:
    """The answers at the first places."""
    kept = [replace(one, answers=tuple(a for a in one.answers if a.place < most)) for one in requests]
    return tuple(request for request in kept if request.answers)


def _head(answers: Answers) -> Head:
    results = answers.results
    rows = answers.own("latest_run")
    row: Mapping[str, Any] = rows[0] if rows else {}
    primary = {f.words: None for f in answers.evidence.findings if f.primary}
    return Head(
        root=results.store.root,
        run_id=results.run,
        name=row.get("name") or "unknown",
        dataset=row.get("dataset") or "unknown",
        started=f"{row['started_at']:%Y-%m-%d %H:%M} UTC" if rows else "",
        commit=(row.get("git_commit") or "")[:10],
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        primary=tuple(primary),
    )


def _facts(place: Place, found: Board, places: Sequence[Place]) -> PlaceFacts:
    several = len({p.dataset for p in places}) > 1
    title = f"{place.forget_set}, {place.architecture}"
    return PlaceFacts(
        title=f"{title}, {place.dataset}" if several else title,
        dataset=place.dataset,
        architecture=place.architecture,
        forget_set=place.forget_set,
        board=found,
    )


OTHERS: Mapping[str, Mapping[str, Any]] = {
    "verdict_counts": {},
    "model_verdicts": {},
    "verdict": {},
    QUERY: {"fdr": FALSE_DISCOVERIES},
    "example_auc": {},
    "hardest_examples": {"top": 12},
    "failures": {},
    "retained_copies": {},
    "cost": {},
    "method_pairs": {},
    "class_confusion": {},
    "example_history": {},
}
"""Queries behind tables and sentences, with their parameters."""


def _queries() -> dict[str, Mapping[str, Any]]:
    return {kind.query: kind.params for kind in KINDS.values()} | dict(OTHERS)


def _behind(answers: Answers, name: str, params: Mapping[str, Any]) -> Behind:
    return Behind(query=name, command=query(answers.results, name, params), sql=find_query(name).text)
