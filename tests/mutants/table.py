"""What became of the mutants of each area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.mutants.runner import Verdict

ENOUGH = 0.9
"""Share of an area's mutants, equivalent ones apart, that has to be killed."""
COLUMNS = ("mutants", "killed", "equivalent", "survived")

Verdicts = Mapping[str, Sequence[Verdict]]
"""By area."""


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many there are in each column; what no test covers survives."""
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    survived = outcomes["survived"] + outcomes["uncovered"]
    return dict(
        zip(COLUMNS, (len(verdicts), outcomes["killed"], outcomes["equivalent"], survived), strict=True)
    )


def enough(verdicts: Verdicts) -> bool:
    """Whether each area has its share killed."""
    return all(
        count["killed"] >= ENOUGH * (count["killed"] + count["survived"])
        for count in map(counts, verdicts.values())
    )


def lines(verdicts: Verdicts) -> str:
    """A line for each area, in columns."""
    width = max(map(len, verdicts), default=0)
    return "\n".join(
        f"{area:<{width}}  " + "  ".join(f"{name} {number:>3}" for name, number in counts(some).items())
        for area, some in verdicts.items()
    )


def markdown(verdicts: Verdicts) -> str:
    """The table of guide/contributing.md."""
    rows = [("area", *COLUMNS), ("---",) * 5]
    rows += [(area, *map(str, counts(some).values())) for area, some in verdicts.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


FORMATS: dict[str, Callable[[Verdicts], str]] = {"lines": lines, "markdown": markdown}
