"""The verdict in tables: one word for each model, what it rests on, and what the other measures say."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from orchestrator.report.blocks import COVERAGE, ERROR, Source, Table, code, measured, number
from orchestrator.results.evidence import (
    APART,
    EQUIVALENT,
    ROLE_ORDER,
    ROLES,
    Evidence,
    Finding,
    ModelVerdict,
    Place,
    probability,
    signed,
)


def overview(evidence: Evidence, places: Sequence[Place], *, source: Source) -> Table:
    """Models by rows, places by columns: the verdict in a word."""
    models = {
        (m.role, *m.model, evidence.apart_by(m), m.place): m for m in evidence.models if m.place in places
    }
    rows = sorted({key[:4] for key in models}, key=lambda m: (ROLE_ORDER.index(m[0]), *m[1:]))
    return Table(
        caption="The verdict on each model, and the primary measures that it rests on. "
        "<span class='apart'>&#9679;</span> told apart on some of them, "
        "<span class='same'>&#9675;</span> shown equivalent on all of them, ? undecided, &ndash; not measured. "
        "Read the grey rows first: <em>a further retraining</em>, where the audit was asked for one, is what it "
        "says of a model that has forgotten; <em>doing nothing</em> is what it says of one that has not.",
        heading=["model", *(f"{place.architecture}, {place.forget_set}" for place in places)],
        rows=[
            [escape(_name(evidence, *row)), *(in_a_word(models.get((*row, place))) for place in places)]
            for row in rows
        ],
        source=source,
        quiet=frozenset(i for i, row in enumerate(rows) if row[0] in ROLES),
    )


def _name(evidence: Evidence, role: str, method: str, scope: str, apart_by: str) -> str:
    label = evidence.label(role, method, scope)
    return f"{label} ({apart_by})" if apart_by else label


def in_a_word(model: ModelVerdict | None) -> str:
    """The verdict on a model as the cell of a table."""
    if model is None:
        return "&ndash;"
    mark = {APART: "<span class='apart'>&#9679;</span>", EQUIVALENT: "<span class='same'>&#9675;</span>"}
    count = {APART: model.told_apart, EQUIVALENT: model.shown_equivalent}.get(model.verdict, model.undecided)
    notes = [
        f"{count} of {model.primary_measures}",
        *(["visible"] if model.visible and model.verdict == EQUIVALENT else []),
        *(["declared after"] if model.declared_after else []),
    ]
    return f"{mark.get(model.verdict, '?')}&nbsp;{model.verdict}<span class='ci'>{', '.join(notes)}</span>"


def primary_measures(evidence: Evidence, places: Sequence[Place], *, source: Source) -> Table:
    """A row for each model and primary measure."""
    models = [m for place in places for m in evidence.judged_models(place)]
    found = [(m, f) for m in models for f in evidence.primary(m)]
    return Table(
        caption=f"Means over seeds with {COVERAGE} intervals: of the value from the lowest to the highest end of the "
        "seeds' own, of the difference (to the mean of both retrainings) by Student's t over seeds. p: Holm, over the "
        f"primary measures of the model; told apart below {ERROR}. Margin: the difference that counts as equal.",
        title="Primary measures",
        shown=0,
        heading=[
            *("architecture", "forget set", "model", "measure", "value", "retrained", "difference", "p"),
            *("margin", "verdict", "what would settle it"),
        ],
        rows=[
            [
                escape(m.architecture),
                code(m.forget_set),
                escape(evidence.label(m.role, *m.model)),
                escape(f.words),
                measured(f.value, f.value_low, f.value_high),
                number(f.retrained),
                difference(f),
                escape(probability(f.p_adjusted).removeprefix("= ")),
                margin(f),
                standing(f),
                escape(f.settles),
            ]
            for m, f in found
        ],
        source=source,
        quiet=frozenset(i for i, (m, _) in enumerate(found) if m.role in ROLES),
    )


def difference(finding: Finding) -> str:
    """The difference from retraining with its interval beneath, as HTML."""
    low, high = finding.difference_low, finding.difference_high
    ends = "" if low is None else f"<span class='ci'>{signed(low)} to {signed(high)}</span>"
    return f"{signed(finding.difference)}{ends}"


def margin(finding: Finding) -> str:
    """The margin, and whether it was declared too late, as HTML."""
    shown = "none" if finding.margin is None else f"{finding.margin:g}"
    return f"{shown}<span class='ci'>declared after</span>" if finding.declared_after else shown


def standing(finding: Finding) -> str:
    """The verdict of one measure, as HTML."""
    visible = ", visible" if finding.visible else ""
    return f"<span class='{'apart' if finding.told_apart else 'same'}'>{finding.verdict}{visible}</span>"


def exploratory(evidence: Evidence, places: Sequence[Place], *, source: Source) -> Table:
    """On how many of the other measures each model is told apart."""
    models = [m for place in places for m in evidence.judged_models(place)]
    return Table(
        caption=f"Exploratory, Benjamini-Hochberg at {ERROR}: of the measures that were not declared primary, how many "
        f"tell the model apart; {ERROR} of these are expected to be false. The verdict does not rest on them. "
        "The query <code>verdict</code> has each, under <code>family</code>.",
        title="Exploratory measures",
        shown=0,
        heading=["architecture", "forget set", "model", "told apart", "tested"],
        rows=[
            [
                escape(m.architecture),
                code(m.forget_set),
                escape(evidence.label(m.role, *m.model)),
                "&ndash;" if m.discoveries is None else str(m.discoveries),
                str(m.explored),
            ]
            for m in models
        ],
        source=source,
        quiet=frozenset(i for i, m in enumerate(models) if m.role in ROLES),
    )
