"""What report and certificate say of verdicts, said once: plain text, which a template escapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.results.evidence import (
    UNDECIDED,
    Evidence,
    Finding,
    ModelVerdict,
    Place,
    agreeing,
    clearest,
    why_told_apart,
)

Counts = Mapping[str, Any]
"""A row of queries/verdict_counts.sql."""


def in_short(total: Counts) -> str:
    """How many models are told apart, shown equivalent and undecided."""
    models, apart = total["models"], total["told_apart"]
    noun = f"{agreeing(models, 'model', 'models')} {agreeing(apart, 'is', 'are')}"
    return (
        f"{apart} of {models} unlearned {noun} told apart from retraining, {total['shown_equivalent']} shown "
        f"equivalent, {total['undecided']} undecided."
    )


def reservations(total: Counts) -> list[str]:
    """What bounds the counts: visible differences, places where nothing can be shown, late declarations."""
    said = []
    if total["visible"]:
        differ = agreeing(total["visible"], "differs", "differ")
        said.append(
            f"Of the {total['shown_equivalent']} shown equivalent {total['visible']} {differ} visibly, though within "
            "the margin."
        )
    if not total["forgetting"]:
        said.append(
            "Doing nothing was not tested on a primary measure of forgetting: none can show equivalence, and a pass "
            "means nothing."
        )
    elif total["blind"]:
        several = f"At {total['blind']} of {total['places']} places (architecture and forget set)"
        where = "Here" if total["places"] == 1 else several
        said.append(
            f"{where} no primary measure of forgetting tells doing nothing apart by more than its margin: none can "
            "show equivalence there, and a pass means nothing."
        )
    if total["declared_after"]:
        said.append(
            f"Of {total['declared_after']} {agreeing(total['declared_after'], 'model', 'models')} a primary measure or "
            "its margin was declared after rows of it were there."
        )
    return said


def comparisons(total: Counts) -> str:
    """How much stands behind the counts."""
    stand = agreeing(
        total["measures"], "comparison on a primary measure stands", "comparisons on primary measures stand"
    )
    return f"{total['measures']} {stand} behind this."


def over_seeds(counts: Counts) -> str:
    """Over how many seeds verdicts of a place are."""
    fewest, most = counts["fewest_seeds"], counts["most_seeds"]
    return f"{most} {agreeing(most, 'seed', 'seeds')}" if fewest == most else f"{fewest} to {most} seeds"


def apart_in_words(evidence: Evidence, model: ModelVerdict) -> str:
    """On how much a model is told apart, and on what most clearly."""
    best = clearest(evidence.primary(model))
    measures = agreeing(model.primary_measures, "measure", "measures")
    text = f"told apart on {model.told_apart} of {model.primary_measures} primary {measures}"
    return f"{text}, most clearly: {why_told_apart(best)}" if best else text


def equivalence(model: ModelVerdict) -> str:
    """What is shown of a model that is shown equivalent."""
    where = agreeing(
        model.primary_measures, "the one primary measure", f"all {model.primary_measures} primary measures"
    )
    text = f"shown equivalent on {where}"
    if model.visible:
        text += f", though on {model.visible} a difference within the margin is visible"
    return text


def what_settles(evidence: Evidence, model: ModelVerdict) -> str:
    """What would settle the verdict on an undecided model."""
    by_remedy: dict[str, list[str]] = {}
    for finding in evidence.primary(model):
        if finding.verdict == UNDECIDED:
            by_remedy.setdefault(finding.settles, []).append(finding.words)
    if len(by_remedy) < 2 and not model.not_measured:
        return next(iter(by_remedy), model.settles)
    remedies = [f"{remedy} ({', '.join(words)})" for remedy, words in by_remedy.items()]
    return "; ".join([*remedies, *filter(None, [model.not_measured])])


def of_further_retrainings(evidence: Evidence, place: Place) -> str:
    """What the audit says of a model that has forgotten; empty where it was not asked for one."""
    return " ".join(
        f"A further retraining, which has forgotten, is {m.verdict}."
        for m in evidence.judged_models(place, role="control")
    )


def power(evidence: Evidence, place: Place, *, forgetting: int, seeing: int | None) -> str:
    """Which primary measures of forgetting tell the untouched model from the retrained ones.

    Args:
        evidence: all of it.
        place: where.
        forgetting: primary measures of forgetting on which the untouched model was tested.
        seeing: those that tell it apart by more than their margin; None where none was tested.
    """
    if not forgetting:
        return "Doing nothing was not tested on a primary measure of forgetting, so the power of this audit is unknown."
    untouched = evidence.judged(place, role="ceiling", family="primary", kind="forgetting")
    within = _within_the_margin(untouched)
    if not seeing:
        lacking = "" if within else " More seeds, a larger forget set or a per-example attack may help."
        return (
            "Even doing nothing is told apart by more than its margin on no primary measure of forgetting: here none "
            f"can show equivalence.{within}{lacking}"
        )
    blind = [finding.words for finding in untouched if finding.sees is False]
    untested = [finding.words for finding in untouched if finding.sees is None]
    text = f"Doing nothing is told apart by more than its margin on {seeing} of {forgetting} primary "
    text += f"{agreeing(forgetting, 'measure', 'measures')} of forgetting"
    text += " that could be tested" if untested else ""
    text += f", not by {', '.join(blind)}." if blind else "."
    return text + (f" Not tested: {', '.join(untested)}." if untested else "") + within


def _within_the_margin(untouched: Sequence[Finding]) -> str:
    """On which measures doing nothing is told apart, and yet lies within the margin; empty where on none."""
    small = [finding.words for finding in untouched if finding.told_apart and not finding.sees]
    return (
        f" Within the margin, which is wide for it, it is told apart by {', '.join(small)}." if small else ""
    )
