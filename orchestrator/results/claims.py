"""The papers' claims by name, and what the results say of each: one sentence from the numbers of its query.

The unit of replication is the original (a seed), or a pair or fold of shadow models: queries/claim_*.sql say how. Where
results hold several data sets, architectures, conditions or forget sets, a claim has an answer for each of them.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.results.catalogue import Query, find_query
from orchestrator.results.claim_gaps import missing
from orchestrator.results.claim_register import CLAIMS, Claim
from orchestrator.results.claim_sentences import Row, sentence
from orchestrator.results.own_queries import ask
from tasks.errors import AuditError, UnknownName, unknown_name

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

Verdict = Literal["supported", "contradicted", "undecided", "not answered"]


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer:
    """What these results say of one claim at one place; without a place: what is missing."""

    claim: str
    """Its letter."""
    name: str
    """Of the query, as `python -m orchestrator.query NAME` takes it."""
    question: str
    paper: str
    presets: tuple[str, ...]
    """Presets that measure what it takes."""
    place: str
    """Data set, architecture, and what else tells places apart; empty where nothing was measured."""
    verdict: Verdict
    sentence: str
    """The answer in words; of a claim without one what is missing, and the command that measures it."""
    missing: tuple[str, ...]
    """What was asked for and the answer lacks: methods, with how many models, and whether they failed or never ran."""
    unmet: str
    """Which value of a parameter leaves a claim without an answer that it has for others; empty where none does."""
    effect: float | None
    low: float | None
    """Of the 95 % interval, as `high`; None where there is none, and the sentence says why."""
    high: float | None
    margin: float | None
    """Smallest effect that matters; of the claim on scopes the largest that does not."""
    query: str
    """The SQL behind it, with what it builds on."""
    parameters: Mapping[str, Any]
    """The SQL was run with."""
    command: str
    """What measures it, or more of it."""


PLACE = ("dataset", "architecture", "scope", "forget_set", "statistic")
"""Columns that tell places apart, where a query has them."""


def answers(results: Results, *, claim: str | None = None, **params: Any) -> list[ClaimAnswer]:
    """Every claim in the order of its letters, at every place; one that these results do not answer once.

    Args:
        results: a session; `Results(root, "all")` takes what several sweeps have measured together.
        claim: letter or name of one claim; None takes all.
        params: of the queries; each goes to the claims that know it.

    Raises:
        AuditError: no claim has that name, none asked for knows a parameter, a value is out of range or occurs nowhere,
            or the one claim asked for has an answer for other values alone.
    """
    from orchestrator.results.parameters import check_values  # duckdb: not for --help

    asked = [(one, find_query(one.name)) for one in _selected(claim)]
    for name in params:
        if not any(name in query.defaults for _, query in asked):
            raise unknown_name("parameter", name, {"claim"}.union(*(query.defaults for _, query in asked)))
    given = [
        (one, query, {name: value for name, value in params.items() if name in query.defaults})
        for one, query in asked
    ]
    for _, query, own in given:
        try:
            query.bind(own)
        except AuditError as error:
            raise type(error)(f"{query.name}: {error}") from error
        check_values(results, query, own)
    ground = _Ground(results)
    found = [answer for one, query, own in given for answer in _answers(ground, one, query, own)]
    if claim is not None and (reason := found[0].unmet):
        raise UnknownName(reason)
    return found


def _selected(claim: str | None) -> list[Claim]:
    known = {name: one for one in CLAIMS for name in (one.letter, one.name)}
    if claim is None:
        return list(CLAIMS)
    if claim not in known:
        raise unknown_name("claim", claim, known)
    return [known[claim]]


class _Ground:
    """What a session has that claims take, and what became of the cells that were asked for."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._states: dict[str, list[Row]] = {}

    def may_answer(self, claim: Claim, params: Mapping[str, Any]) -> bool:
        """Whether there is any of what a claim takes: the queries are dear."""
        if claim.of_shadows:
            return bool(self.results.store.keys("observations"))
        return bool(params) or self._taken.get(claim.letter, True)

    @cached_property
    def _taken(self) -> Mapping[str, bool]:
        (row,) = ask(self.results, "claim_ground")
        return row

    @cached_property
    def configurations(self) -> Mapping[str, str]:
        """What a sweep is to be given to measure what claims take, by the preset of each."""
        from orchestrator.results.commands import configurations  # the whole configuration: not for --help

        return configurations(self.results, {claim.preset for claim in CLAIMS})

    def states(self, axis: str) -> list[Row]:
        """How many cells of each value of an axis are in which state."""
        if axis not in self._states:
            self._states[axis] = self.results.sql(
                f"select {axis} as value, state, count(*) as cells from planned_cells group by all order by state"
            ).to_pylist()
        return self._states[axis]


def _answers(ground: _Ground, claim: Claim, query: Query, params: Mapping[str, Any]) -> Iterator[ClaimAnswer]:
    results, may_answer = ground.results, ground.may_answer(claim, params)
    configuration = ground.configurations[claim.preset]
    rows = results.query(query.name, **params).to_pylist() if may_answer else []
    judged = [row for row in rows if row["is_claim"]]
    command = f"python -m orchestrator.sweep {configuration} --out {shlex.quote(results.store.root)}"
    unanswered = ClaimAnswer(
        claim=claim.letter,
        name=claim.name,
        question=query.question,
        paper=claim.paper,
        presets=(claim.preset,),
        place="",
        verdict="not answered",
        sentence="",
        missing=(),
        unmet="",
        effect=None,
        low=None,
        high=None,
        margin=None,
        query=query.text,
        parameters=query.bind(dict(params)),
        command=command,
    )
    for row in judged:
        place = _place(row, judged)
        gaps = missing(results, claim, row, rows, unanswered.parameters)
        yield replace(
            unanswered,
            place=place,
            verdict=row["verdict"],
            sentence=sentence(claim.name, place, row, rows, gaps),
            missing=tuple(gaps),
            effect=row["effect"],
            low=row["effect_low"],
            high=row["effect_high"],
            margin=row["margin"],
            command=f"{command} --rerun failed" if gaps else command,
        )
    if not judged:
        from orchestrator.results.claim_values import unanswered_value  # duckdb: not for --help

        unmet = unanswered_value(results, query, params) if params and may_answer else ""
        how = "" if configuration == claim.preset else "With that in your configuration: "
        said = (
            unmet or f"it takes {claim.needs}; {_missing(ground.states(claim.axis), claim)}. {how}{command}"
        )
        yield replace(unanswered, sentence=f"Not answered: {said}", unmet=unmet)


def _place(row: Row, rows: list[Row]) -> str:
    """Data set and architecture, and of the rest what tells this row from others."""
    names = [name for name in PLACE if name in row]
    beside = [
        one for one in rows if (one["dataset"], one["architecture"]) == (row["dataset"], row["architecture"])
    ]
    differing = [name for name in names[2:] if len({one[name] for one in beside}) > 1]
    parts = [str(row[name]) for name in (*names[:2], *differing)]
    alike = [one for one in rows if all(one[name] == row[name] for name in names)]
    if len(alike) > 1:
        parts.append(row["setting_label"] or f"conditions {str(row['conditions'])[:6]}")
    return ", ".join(parts)


def _missing(states: list[Row], claim: Claim) -> str:
    """Of what a claim turns on the values of which no cell has finished here, and what became of those asked for."""
    measured = {row["value"] for row in states if row["state"] == "finished"}
    absent = [value for value in claim.values if value not in measured]
    lost: Counter[str] = Counter()
    for row in states:
        if row["value"] in (absent or claim.values) and row["state"] != "finished":
            lost[row["state"]] += row["cells"]
    counts = f" ({', '.join(f'{cells} {state}' for state, cells in lost.items())})" if lost else ""
    if absent:
        return f"here no cell has finished of {claim.axis} {', '.join(absent)}{counts}"
    return f"here no cells of that kind stand beside one another{counts}"
