"""Examples that are told apart one by one, beside those that would be so in a retrained model by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.results.charts.answers import Answers, place_of
from orchestrator.results.evidence import ROLE_ORDER

FALSE_DISCOVERIES = 0.1
"""Share of the examples called told apart that may be false."""
QUERY = "per_example_vulnerability"


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """Forgotten examples of a model, each tested by itself over shadow models."""

    label: str
    attack: str
    told_apart: int
    tested: int
    above_control: float | None
    """Share of examples whose own AUC exceeds the 95 % quantile of the retrained model's; .05 where nothing is left.
    It has no interval: examples share their shadow models."""


def exposed_rows(answers: Answers) -> list[tuple[tuple[Any, ...], Exposed]]:
    """A row for each model and test, none chosen by what it says, each behind its place, its role and its name."""
    rows = [r for r in answers.rows(QUERY, fdr=FALSE_DISCOVERIES) if r["tested"]]
    names = ("architecture", "forget_set", "attack", "statistic")
    rows.sort(
        key=lambda r: (
            *(r[n] for n in names),
            ROLE_ORDER.index(r["role"]),
            r["method"],
            r["scope"],
            r["seed"],
        )
    )
    return [(_key(answers, r), _exposed(answers, r)) for r in rows]


def exposed_models(answers: Answers) -> Mapping[tuple[Any, ...], Exposed]:
    """Of each model the test that names most examples: of several seeds and statistics a person is exposed by any."""
    found: dict[tuple[Any, ...], Exposed] = {}
    for key, exposed in exposed_rows(answers):
        if key not in found or exposed.told_apart > found[key].told_apart:
            found[key] = exposed
    return found


def _key(answers: Answers, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (place_of(row), row["role"], answers.judged_name(row, answers.label(row)))


def _exposed(answers: Answers, row: Mapping[str, Any]) -> Exposed:
    attack, statistic = row["attack"], row["statistic"]
    return Exposed(
        label=answers.label(row),
        attack=attack if statistic in attack else f"{attack} {statistic}",
        told_apart=row["vulnerable"],
        tested=row["tested"],
        above_control=row["above_floor"],
    )
