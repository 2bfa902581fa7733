"""Which measures a place shows side by side: its primary ones, then those that every audit is read by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.results.evidence import Evidence, Finding, Place

STANDARD: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "forget", "accuracy, forgotten"),
    ("token_accuracy", "forget", "token accuracy, forgotten"),
    ("accuracy", "retain", "accuracy, retained"),
    ("token_accuracy", "retain", "token accuracy, retained"),
    ("accuracy", "test", "accuracy, test"),
    ("token_accuracy", "test", "token accuracy, test"),
    ("auc", "forget", "membership AUC"),
    ("robust_accuracy_area", "test", "robust accuracy, test"),
    ("class_accuracy_gap", "test", "class gap, test"),
)
"""Metric, split and heading."""
Key = tuple[str, ...]
"""`Finding.measure`."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure as a column."""

    key: Key
    heading: str
    words: str
    """In full."""
    primary: bool
    utility: bool
    """Whether it measures what is to be kept, and not forgetting."""
    higher_is: str
    """better, worse or closer_to_retrained."""
    others: int
    """Further attacks or statistics that give the same metric here, which queries have."""


def shown_measure(evidence: Evidence, findings: Iterable[Finding]) -> Key | None:
    """Which measure is shown where several attacks or statistics give one metric; None of none.

    A primary one, else one of an attack that has a primary one; of adversarial attacks the one under which the
    retrained model fares worst; of others the first by name. What the attacks say of other models has no part in it.
    """

    def order(finding: Finding) -> tuple[bool, bool, float, Key]:
        adversarial = finding.attack_family == "adversarial" and finding.retrained is not None
        fares = (finding.retrained or 0.0) if adversarial else 0.0
        return (not finding.primary, finding.attack not in evidence.primary_attacks, fares, finding.measure)

    first = min(findings, key=order, default=None)
    return first.measure if first else None


def measures(evidence: Evidence, place: Place) -> list[Measure]:
    """The columns of a place: those of `STANDARD` in their order, then primary measures that are none of these."""
    judged = evidence.judged(place)
    by_key = {f.measure: f for f in judged}
    primary = dict.fromkeys(f.measure for f in judged if f.primary)
    found: dict[Key, Measure] = {}
    for metric, split, heading in STANDARD:
        same = [f for f in judged if (f.metric, f.split) == (metric, split)]
        chosen = [key for key in primary if key[:2] == (metric, split)]
        shown = shown_measure(evidence, same)
        if not chosen and shown is not None:
            chosen = [shown]
        count = len({f.measure for f in same})
        for key in chosen:
            title = heading if len(chosen) == 1 else by_key[key].words
            found[key] = _measure(by_key[key], title, primary=key in primary, others=count - len(chosen))
    for key in primary:
        if key not in found:
            found[key] = _measure(by_key[key], by_key[key].words, primary=True, others=0)
    return list(found.values())


def _measure(finding: Finding, heading: str, *, primary: bool, others: int) -> Measure:
    return Measure(
        key=finding.measure,
        heading=heading,
        words=finding.words,
        primary=primary,
        utility=finding.kind == "utility",
        higher_is=finding.higher_is,
        others=others,
    )
