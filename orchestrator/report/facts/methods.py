"""The page of a method: what it is, and at every place what is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.facts.board import Board
from orchestrator.report.sentences import apart_in_words, equivalence, what_settles
from orchestrator.results.charts.answers import Answers
from orchestrator.results.evidence import APART, EQUIVALENT, Evidence, ModelVerdict, Place


@dataclass(frozen=True, kw_only=True)
class Said:
    """A model of a method in words."""

    place: int
    label: str
    verdict: str
    words: str


@dataclass(frozen=True, kw_only=True)
class MethodFacts:
    """A method over all places."""

    method: str
    summary: str
    paper: str
    said: tuple[Said, ...]
    left_out: int
    """Models of it of which nothing is said, for leaderboards leave them out."""


def methods(answers: Answers, places: Sequence[Place], boards: Sequence[Board]) -> tuple[MethodFacts, ...]:
    """Every audited method, by name."""
    about = {
        row["method"]: row
        for row in answers.results.sql("select method, summary, paper from methods").to_pylist()
    }
    evidence, said, left_out = answers.evidence, dict[str, list[Said]](), Counter[str]()
    order = [{row.label: i for i, row in enumerate(board.audited)} for board in boards]
    for number, place in enumerate(places):
        models = evidence.judged_models(place, role="audited")
        left_out.update(m.method for m in models if answers.name(m) not in order[number])
        here = [m for m in models if answers.name(m) in order[number]]
        for model in sorted(here, key=lambda m: order[number][answers.name(m)]):
            words = in_words(evidence, model)
            one = Said(place=number, label=answers.name(model), verdict=model.verdict, words=words)
            said.setdefault(model.method, []).append(one)
    return tuple(
        MethodFacts(
            method=method,
            summary=(about.get(method.partition(":")[0]) or {}).get("summary") or "",
            paper=(about.get(method.partition(":")[0]) or {}).get("paper") or "",
            said=tuple(said.get(method, ())),
            left_out=left_out[method],
        )
        for method in sorted(said.keys() | left_out.keys())
    )


def in_words(evidence: Evidence, model: ModelVerdict) -> str:
    """What a verdict rests on, or what would settle it."""
    if model.verdict == APART:
        return f"{apart_in_words(evidence, model)}."
    if model.verdict == EQUIVALENT:
        return f"{equivalence(model)}."
    return f"undecided; to settle it: {what_settles(evidence, model)}."
