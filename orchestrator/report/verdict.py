"""The question of an audit and its answer in plain words; it never says 'safe'."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from orchestrator.report.blocks import ERROR, Block, Context, Missing, Section, Source, Text, code
from orchestrator.report.sentences import equivalence, of_further_retrainings, power, what_settles
from orchestrator.report.verdict_tables import exploratory, overview, primary_measures
from orchestrator.results.evidence import (
    APART,
    EQUIVALENT,
    UNDECIDED,
    Evidence,
    ModelVerdict,
    Place,
    agreeing,
    clearest,
    why_told_apart,
)

COUNTS, MODELS, MEASURES, ROBUST = (
    Source(query=q) for q in ("verdict_counts", "model_verdicts", "verdict", "robust_drop")
)
CLEAREST = 3
"""Models in sight at each place, of those that are told apart; a reader unfolds the others."""
WIDEST = 6
"""Places beside each other in one table."""

Counts = dict[str, Any]
"""A row of queries/verdict_counts.sql."""


def verdict_section(context: Context) -> Section:
    """The question, the answer by place, and tables of what it rests on."""
    evidence = context.evidence
    blocks: list[Block] = [Text(html=_question())]
    counts = {_place(row): row for row in context.results.query("verdict_counts").to_pylist()}
    if not counts:
        blocks.append(
            Missing(
                reason="No audited model has finished beside its retrained model yet, so there is no "
                "verdict.",
                command=context.sweep(),
            )
        )
    else:
        places = [place for place in evidence.places if place in counts]
        blocks.append(Text(html=in_short(counts[None]), sources=(COUNTS,)))
        blocks += [
            overview(evidence, places[i : i + WIDEST], source=MODELS) for i in range(0, len(places), WIDEST)
        ]
        blocks.append(Text(html=_caveat(evidence, counts[None]), sources=(COUNTS,)))
        if bounds := evidence.upper_bounds(f for place in places for f in evidence.judged(place)):
            blocks.append(Text(html=f"<p>{escape(bounds)}</p>", sources=(ROBUST,)))
        answers = "".join(_place_html(evidence, place, counts[place]) for place in places)
        blocks.append(Text(html=answers, sources=(COUNTS, MODELS, MEASURES)))
        blocks += [
            primary_measures(evidence, places, source=MEASURES),
            exploratory(evidence, places, source=MODELS),
        ]
    return Section(
        anchor="verdict",
        title="The verdict",
        lead="Which unlearned models can be told from models that never saw the data?",
        blocks=blocks,
    )


def _place(row: Counts) -> Place | None:
    """Where the counts are of; None for all places together."""
    if row["dataset"] is None:
        return None
    return Place(dataset=row["dataset"], architecture=row["architecture"], forget_set=row["forget_set"])


def _question() -> str:
    return (
        "<p>A model that has forgotten should be indistinguishable from one retrained without the data. Two "
        "retrainings differ from each other too, by chance. So each seed is retrained twice; the second, "
        "<em>retrained again</em>, is half of the yardstick and is not judged. On each measure Student's t test "
        "over seeds asks whether the model differs from the mean of its two retrainings by more than training "
        "again does. A model is <strong>told apart</strong> when a primary measure, which the run declares, tells "
        f"it so after Holm's correction for their number: at most {ERROR} of the models that have forgotten are, by "
        "chance. It is <strong>shown equivalent</strong> when on every primary measure two one-sided tests, each at "
        f"{ERROR}, put the difference within the margin declared for it. All others are "
        "<strong>undecided</strong>, and the page says what would settle each. One seed is always undecided, except "
        "where an attack compares pairs of shadow models, which are trainings of their own. A measure of forgetting "
        "that cannot tell <em>doing nothing</em> apart by more than its margin cannot show equivalence. All other "
        f"measures are exploratory (Benjamini-Hochberg at {ERROR}) and decide nothing.</p>"
    )


def in_short(total: Counts) -> str:
    """The answer in a paragraph."""
    models, equivalent = total["models"], total["shown_equivalent"]
    noun = f"{agreeing(models, 'model', 'models')} {agreeing(total['told_apart'], 'is', 'are')}"
    text = (
        f"<p class='verdict'><strong>{total['told_apart']} of {models} unlearned {noun} told apart from "
        f"retraining, {equivalent} shown equivalent, {total['undecided']} undecided</strong>."
    )
    if total["visible"]:
        text += f" Of the {equivalent} shown equivalent {total['visible']} "
        text += f"{agreeing(total['visible'], 'differs', 'differ')} visibly, though within the margin."
    if total["blind"]:
        where = f"At {total['blind']} of {total['places']} places (architecture and forget set)"
        text += (
            f" {'Here' if total['places'] == 1 else where} no primary measure of forgetting tells <em>doing "
            "nothing</em> apart by more than its margin: none can show equivalence there."
        )
    if total["declared_after"]:
        text += (
            f" Of {total['declared_after']} {agreeing(total['declared_after'], 'model', 'models')} a primary "
            "measure or its margin was <strong>declared after</strong> rows of it were there."
        )
    return text + "</p>"


def _caveat(evidence: Evidence, total: Counts) -> str:
    stand = agreeing(
        total["measures"], "comparison on a primary measure stands", "comparisons on primary measures stand"
    )
    text = f"<p>{total['measures']} {stand} behind this.</p>"
    if all(f.attack_family != "per_example" for f in evidence.findings if f.role == "audited"):
        text += (
            "<p>No per-example attack was run. Population attacks look at averages and are known to miss "
            "single examples that a model still remembers (Hayes et al., 2024).</p>"
        )
    return text


def _place_html(evidence: Evidence, place: Place, counts: Counts) -> str:
    audited = evidence.judged_models(place, role="audited")
    fewest, most = counts["fewest_seeds"], counts["most_seeds"]
    over = f"{most} {agreeing(most, 'seed', 'seeds')}" if fewest == most else f"{fewest} to {most} seeds"
    head = (
        f"<h3>{escape(place.architecture)} &middot; {code(place.forget_set)}</h3>"
        f"<p class='standing'><strong>{counts['told_apart']} of {counts['models']}</strong> unlearned "
        f"{agreeing(counts['models'], 'model', 'models')} {agreeing(counts['told_apart'], 'is', 'are')} "
        f"told apart from retraining, <strong>{counts['shown_equivalent']}</strong> shown equivalent, "
        f"<strong>{counts['undecided']}</strong> undecided ({over} with both retrainings). "
        f"{_controls(evidence, place, counts)}</p>"
    )
    shown, folded = _told_apart(evidence, [m for m in audited if m.verdict == APART])
    shown += [
        f"<li><strong>{escape(evidence.label('audited', *m.model))}</strong>: {equivalence(m)}.</li>"
        for m in audited
        if m.verdict == EQUIVALENT
    ]
    open_answers: dict[str, list[str]] = {}
    for m in audited:
        if m.verdict == UNDECIDED:
            open_answers.setdefault(what_settles(evidence, m), []).append(evidence.label("audited", *m.model))
    shown += [
        f"<li>Undecided: <strong>{escape(', '.join(names))}</strong>. To settle it: {escape(settles)}.</li>"
        for settles, names in open_answers.items()
    ]
    return f"<div class='place'>{head}<ul>{''.join(shown)}</ul>{folded}</div>"


def _told_apart(evidence: Evidence, models: Sequence[ModelVerdict]) -> tuple[list[str], str]:
    """Items on the models that are told apart most clearly, and the others folded."""
    best = [(m, f) for m in models if (f := clearest(evidence.primary(m))) is not None]
    items = [
        f"<li><strong>{escape(evidence.label('audited', *m.model))}</strong> is told apart on {m.told_apart} of "
        f"{m.primary_measures} primary {agreeing(m.primary_measures, 'measure', 'measures')}, most clearly: "
        f"{escape(why_told_apart(f))}.</li>"
        for m, f in sorted(best, key=lambda pair: pair[1].p_adjusted or 0.0)
    ]
    if len(items) <= CLEAREST + 1:
        return items, ""
    return items[:CLEAREST], (
        f"<details class='more'><summary>{len(items) - CLEAREST} more that "
        f"{agreeing(len(items) - CLEAREST, 'is', 'are')} told apart</summary>"
        f"<ul>{''.join(items[CLEAREST:])}</ul></details>"
    )


def _controls(evidence: Evidence, place: Place, counts: Counts) -> str:
    """What the audit says of a model that has forgotten, and whether it would see one that has not."""
    seen = power(evidence, place, forgetting=counts["forgetting"], seeing=counts["seeing"])
    return escape(" ".join(filter(None, (of_further_retrainings(evidence, place), seen))))
