"""What the results say of the papers' claims, as a page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.report.commands import query
from orchestrator.results import claims
from orchestrator.results.charts.answers import Answers


@dataclass(frozen=True, kw_only=True)
class ClaimFacts:
    """A claim at one place, or what is missing for an answer."""

    letter: str
    question: str
    place: str
    """Empty where nothing was measured."""
    verdict: claims.Verdict
    sentence: str
    effect: float | None
    low: float | None
    high: float | None
    """Ends of the 95 % interval; None where there is none."""
    margin: float | None
    command: str
    """That shows the numbers."""
    query: str
    """Its name."""
    sql: str

    @property
    def reach(self) -> float:
        """How far a picture of the interval reaches to either side, in units of the effect; 0 without an interval."""
        if self.low is None or self.high is None:
            return 0.0
        return 1.1 * max(abs(self.low), abs(self.high), self.margin or 0.0)


def claim_facts(answers: Answers) -> tuple[ClaimFacts, ...]:
    """Every claim at every place, in the order of the letters."""
    return tuple(
        ClaimFacts(
            letter=one.claim,
            question=one.question,
            place=one.place,
            verdict=one.verdict,
            sentence=one.sentence,
            effect=one.effect,
            low=one.low,
            high=one.high,
            margin=one.margin,
            command=query(answers.results, one.name, {}),
            query=one.name,
            sql=one.query,
        )
        for one in claims.answers(answers.results)
    )
