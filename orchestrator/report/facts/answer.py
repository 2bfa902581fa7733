"""The first screen: a headline, and for each forget set whether it was forgotten, whom not, at what price, how sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.report.facts.board import Board, Cell, Row
from orchestrator.report.sentences import Counts, of_further_retrainings, over_seeds, power
from orchestrator.results.evidence import APART, EQUIVALENT, Evidence, Place

MOST_NAMED = 3
"""Methods named in one sentence."""


@dataclass(frozen=True, kw_only=True)
class PlaceAnswer:
    """The four answers at one architecture."""

    place: int
    """Its number."""
    architecture: str
    told_apart: int
    shown_equivalent: int
    undecided: int
    closest: Row | None
    farthest: Row | None
    control: Row | None
    """Retraining, or retraining again, as far as single examples of it were tested."""
    cheapest: Row | None
    """The cheapest audited model that is not told apart; None where it is the closest, or a pass means nothing."""
    harmful: tuple[str, ...]
    """Models that are told apart on a measure that is no forgetting, to the worse."""
    sees: bool
    """Whether doing nothing is told apart by more than its margin on a primary measure of forgetting."""
    power: str
    further: str
    """What is said of a further retraining."""
    seeds: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """A forget set, at every architecture."""

    forget_set: str
    dataset: str
    size: int | None
    answers: tuple[PlaceAnswer, ...]


def place_answer(evidence: Evidence, number: int, place: Place, board: Board, counts: Counts) -> PlaceAnswer:
    """The four answers at a place."""
    audited = board.audited
    sees = bool(counts["seeing"])
    return PlaceAnswer(
        place=number,
        architecture=place.architecture,
        told_apart=counts["told_apart"],
        shown_equivalent=counts["shown_equivalent"],
        undecided=counts["undecided"],
        closest=audited[0] if audited else None,
        farthest=audited[-1] if len(audited) > 1 else None,
        control=next((r for r in board.rows if r.role in ("reference", "noise_floor") and r.exposed), None),
        cheapest=_cheapest(audited) if sees else None,
        harmful=tuple(row.label for row in audited if _harms(board, row)),
        sees=sees,
        power=power(evidence, place, forgetting=counts["forgetting"], seeing=counts["seeing"]),
        further=of_further_retrainings(evidence, place),
        seeds=over_seeds(counts),
    )


def _cheapest(audited: Sequence[Row]) -> Row | None:
    passing = [row for row in audited if row.verdict != APART and price(row) is not None]
    cheapest = min(passing, key=lambda row: price(row) or 0.0, default=None)
    return None if cheapest is None or cheapest is audited[0] else cheapest


def price(row: Row) -> float | None:
    """What a model costs next to retraining; of several kinds of device, which have no mean, the dearest."""
    return max((p.ratio for p in row.prices if p.ratio is not None), default=None)


def _harms(board: Board, row: Row) -> bool:
    """Whether a model is told apart, to the worse, on a primary measure of what was to be kept."""
    return any(
        cell is not None
        and column.utility
        and cell.verdict == APART
        and _worse(cell, higher_is=column.higher_is)
        for column, cell in zip(board.columns, row.cells, strict=True)
    )


def _worse(cell: Cell, *, higher_is: str) -> bool:
    difference = cell.difference or 0.0
    return difference > 0 if higher_is == "worse" else difference < 0


def headline(requests: Sequence[Request], boards: Sequence[Board], total: Counts | None) -> str:
    """What the audit found, in a sentence."""
    if total is None:
        return "No audited model has finished beside its retrained model yet: there is no verdict."
    answers = [answer for request in requests for answer in request.answers]
    if not any(answer.sees for answer in answers):
        return f"Nothing can be shown to be forgotten here: {_why_blind(total)}."
    tally = _tally([boards[answer.place] for answer in answers])
    everywhere = [name for name, verdicts in tally.items() if set(verdicts) == {EQUIVALENT}]
    if everywhere:
        where = "everywhere" if len(answers) > 1 else "here"
        return f"Shown equivalent to retraining {where}: {_named(everywhere)}."
    somewhere = {name: v.count(EQUIVALENT) for name, v in tally.items() if EQUIVALENT in v}
    if somewhere:
        best = max(somewhere, key=lambda name: (somewhere[name], -tally[name].count(APART)))
        return (
            "No method is shown equivalent to retraining everywhere; "
            f"{best} is at {somewhere[best]} of {len(tally[best])} places."
        )
    if total["undecided"] == 0:
        return "Every unlearned model is told apart from one that was retrained without the data."
    blind = sum(not answer.sees for answer in answers)
    rest = f"; at {blind} of {len(answers)} places even doing nothing passes" if blind else ""
    return f"No unlearned model is shown to have forgotten{rest}."


def _why_blind(total: Counts) -> str:
    if total["forgetting"]:
        return "doing nothing passes for forgetting too"
    return (
        "one seed decides nothing" if total["most_seeds"] == 1 else "whether doing nothing passes is unknown"
    )


def _tally(boards: Sequence[Board]) -> Mapping[str, list[str]]:
    """The verdicts on each audited method and scope, over places."""
    tally: dict[str, list[str]] = {}
    for board in boards:
        for row in board.audited:
            tally.setdefault(row.label, []).append(row.verdict)
    return tally


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    left = len(names) - MOST_NAMED
    return f"{shown} and {left} more" if left > 0 else shown
