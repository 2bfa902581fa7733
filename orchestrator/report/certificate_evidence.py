"""What a certificate says was found: the answer, the evidence beside its controls, the examples that stay exposed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.report.exposure import FALSE_DISCOVERIES
from orchestrator.report.sentences import equivalence, power, what_settles
from orchestrator.report.subject import Subject
from orchestrator.report.templates import number
from orchestrator.results.evidence import (
    APART,
    EQUIVALENT,
    UNDECIDED,
    Evidence,
    Finding,
    ModelVerdict,
    agreeing,
    clearest,
    probability,
    signed,
    why_told_apart,
)

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

IDS_SHOWN = 25
CHANCE = 0.05
"""Share of examples that a second retraining puts above the threshold of exposure."""
NO_POWER = (
    "It is not: <strong>the audit lacks power here</strong>, and what it leaves undecided says nothing of forgetting. "
    "More seeds, more shadow models for a per-example attack, or a larger forget set would give it power."
)


COVERAGE, ERROR = "95&nbsp;%", "5&nbsp;%"
"""Of every interval, and of every test."""


def measured(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval beneath, as HTML."""
    ends = (
        ""
        if low is None or high is None
        else f"<span class='ci'>{number(low, 2)} to {number(high, 2)}</span>"
    )
    return f"{number(value)}{ends}"


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


def finding(results: Results, evidence: Evidence, model: ModelVerdict, failed: list[dict[str, Any]]) -> str:
    """The section with the answer in a paragraph: that of the view `model_verdicts`."""
    text = f"{_answer(evidence, model)} {_declared(model)} {_controls(results, evidence, model)}"
    if model.explored:
        text += (
            f" Exploratory, Benjamini-Hochberg at {ERROR}: {model.discoveries} of {model.explored} other "
            f"{agreeing(model.explored, 'measure', 'measures')} {agreeing(model.discoveries or 0, 'tells', 'tell')} it "
            "apart; the finding does not rest on them."
        )
    return f"<h2>Finding</h2><div class='verdict'><p>{text}</p>{_failed(failed)}</div>"


def _answer(evidence: Evidence, model: ModelVerdict) -> str:
    best = clearest(evidence.primary(model))
    seeds = f"over {model.seeds} {agreeing(model.seeds, 'seed', 'seeds')}"
    measures = agreeing(model.primary_measures, "measure", "measures")
    if model.verdict == APART and best is not None:
        return (
            "The unlearned model is <strong>told apart</strong> from a model retrained without the data, "
            f"on {model.told_apart} of {model.primary_measures} primary {measures}, {seeds}. Most clearly: "
            f"{escape(why_told_apart(best))}."
        )
    if model.verdict == EQUIVALENT:
        return (
            "The unlearned model is <strong>shown equivalent</strong> to one retrained without the data: "
            f"{equivalence(model)}, within the margins below, {seeds}. This is evidence within these measures, "
            "margins and seeds."
        )
    return (
        "<strong>Undecided.</strong> The unlearned model is neither told from one retrained without the data nor shown "
        f"to equal it, {seeds}: {model.undecided} of {model.primary_measures} primary {measures} "
        f"{agreeing(model.undecided, 'is', 'are')} undecided. To "
        f"settle it: {escape(what_settles(evidence, model))}."
    )


def _declared(model: ModelVerdict) -> str:
    if not model.primary_measures:
        return ""
    if model.declared_after:
        return (
            "A primary measure or its margin was <strong>declared after</strong> rows of it were there, which may have "
            "shaped the choice."
        )
    return "Primary measures and margins were declared before anything was measured."


def _controls(results: Results, evidence: Evidence, model: ModelVerdict) -> str:
    """What the same test says of a model that has forgotten, and of one that has not."""
    if model.role == "ceiling":
        return "This model is itself the control that does nothing, and must be told from retraining. " + (
            "It is." if model.verdict == APART else NO_POWER
        )
    rows = results.query("verdict_counts").to_pylist()
    place = (model.dataset, model.architecture, model.forget_set)
    counts = next(
        (r for r in rows if (r["dataset"], r["architecture"], r["forget_set"]) == place),
        {"forgetting": 0, "seeing": 0},
    )
    control = "".join(
        f"A further retraining, which has forgotten, is {m.verdict}. "
        for m in evidence.judged_models(model.place, role="control")
    )
    seen = power(evidence, model.place, forgetting=counts["forgetting"], seeing=counts["seeing"])
    return control + escape(seen)


def _failed(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    reasons = "; ".join(
        f"{escape(r['attack'])}: {escape(r['error_type'] or '')}: {escape(r['error'] or '')}"
        + (f" ({r['times']} times)" if r["times"] > 1 else "")
        for r in rows
    )
    count = sum(r["times"] for r in rows)
    what = "measurement of this model has" if count == 1 else "measurements of this model have"
    return (
        f"<p><strong>Incomplete.</strong> {count} {what} failed, so the finding rests on what is left. "
        f"{reasons}.</p>"
    )


def evidence_table(evidence: Evidence, model: ModelVerdict) -> str:
    """The section with every primary measure, beside the same of the controls, and what is undecided."""
    primary = evidence.primary(model)
    untouched = {f.measure: f for f in evidence.judged(model.place, role="ceiling")}
    heading = (
        *(
            "measure",
            "unlearned",
            "retrained",
            "retrained again",
            "doing nothing",
            "difference",
            "margin",
            "p",
        ),
        "",
    )
    rows = []
    for f in primary:
        control = untouched.get(f.measure)
        rows.append(
            [
                escape(f.words),
                measured(f.value, f.value_low, f.value_high),
                number(f.retrained),
                number(f.again),
                number(control.value) if control else "&ndash;",
                difference(f),
                margin(f),
                escape(probability(f.p_adjusted).removeprefix("= ")),
                standing(f),
            ]
        )
    head = "".join(f"<th>{h}</th>" for h in heading)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    open_answers = "".join(
        f"<li>{escape(f.words)}: {escape(f.settles)}</li>" for f in primary if f.verdict == UNDECIDED
    )
    return (
        "<h2>Evidence and controls</h2>"
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p class='ci' style='white-space: normal'>{_explained(primary)}</p>"
        + (
            f"<p>Measures that are undecided, and what would settle each:</p><ul>{open_answers}</ul>"
            if open_answers
            else ""
        )
    )


def _explained(primary: list[Finding]) -> str:
    """How the table is read."""
    seeds = sorted({f.seeds for f in primary})
    over = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{max(seeds, default=0)}"
    return (
        f"The primary measures: means over {over} seed{'' if over == '1' else 's'}; beneath a value from the "
        f"lowest to the highest end of the seeds' own {COVERAGE} intervals. Difference: unlearned minus the mean of "
        f"both retrainings, with its {COVERAGE} interval over seeds. Margin: the difference that counts as equal. p: "
        f"Student's t over seeds, Holm over the primary measures; told apart below {ERROR}. Shown equivalent: two "
        f"one-sided tests at {ERROR} within the margin.{_games(primary)}"
    )


def _games(found: list[Finding]) -> str:
    """What the games of the membership measures compare."""
    from tasks.shadows.games import GAMES

    used = sorted({f.game for f in found if f.game in GAMES})
    return "".join(f" {game}: {escape(GAMES[game])}." for game in used)


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Forget examples whose confidence stays above what a second retraining explains, in every seed."""

    ids: list[int]
    """By falling mean excess."""
    threshold: float
    """Excess over the retrained model, in logits: at most a share CHANCE of the second retraining's lies above; not
    below 0, where an example is less exposed than under the retrained model."""
    judged: int
    """Examples that were looked at."""
    seeds: int
    """In which each of them was, at least."""
    by_chance: int | None
    """Those of the second retraining, which sets the threshold; None where it has another number of seeds."""
    control: int | None
    """Those of the further retraining, which does not; None where there is none of as many seeds."""


def exposed_examples(rows: list[dict[str, Any]], subject: Subject) -> Exposure | None:
    """The exposure of a model beside that of its controls; None where its answers or a second retraining's are missing.

    Args:
        rows: of queries/excess_confidence.sql.
        subject: the model.
    """
    noise = [r["excess"] for r in rows if r["role"] == "noise_floor"]
    excess = _by_example(
        r
        for r in rows
        if r["role"] == subject.role and (r["method"], r["scope"]) == (subject.method, subject.scope)
    )
    if not noise or not excess:
        return None
    threshold = max(0.0, float(np.quantile(noise, 1 - CHANCE)))
    ids = _above(excess, threshold)
    seeds = min(map(len, excess.values()))
    by_chance, control = (
        len(_above(beside, threshold)) if beside and min(map(len, beside.values())) == seeds else None
        for beside in (
            _by_example(r for r in rows if r["role"] == role) for role in ("noise_floor", "control")
        )
    )
    return Exposure(
        ids=sorted(ids, key=lambda i: -sum(excess[i]) / len(excess[i])),
        threshold=threshold,
        judged=len(excess),
        seeds=seeds,
        by_chance=by_chance,
        control=control,
    )


def _by_example(rows: Iterable[dict[str, Any]]) -> dict[int, list[float]]:
    excess: dict[int, list[float]] = {}
    for r in rows:
        excess.setdefault(r["example_id"], []).append(r["excess"])
    return excess


def _above(excess: dict[int, list[float]], threshold: float) -> list[int]:
    return [i for i, values in excess.items() if min(values) > threshold]


def exposed(results: Results, subject: Subject, verdict: str) -> str:
    """The section on single examples, which the verdict does not rest on."""
    rows = results.query(
        "excess_confidence", architecture=subject.architecture, forget_set=subject.forget_set
    ).to_pylist()
    exposure = exposed_examples(rows, subject)
    if exposure is None:
        text = (
            "Single examples cannot be judged: answers of this model or of a second retraining are missing."
        )
        return f"<h2>Examples that remain exposed</h2><p>{text}</p>"
    ids, seeds = exposure.ids, exposure.seeds
    noun = agreeing(exposure.judged, "example", "examples")
    every = agreeing(seeds, "in the one seed", f"in each of {seeds} seeds")
    beside = "; ".join(
        f"{model}: {count if count is not None else 'not measured in as many seeds'}"
        for model, count in (
            ("of a further retraining, which has forgotten", exposure.control),
            ("of the second retraining, so by chance", exposure.by_chance),
        )
    )
    text = (
        f"{len(ids)} of {exposure.judged} {noun} {agreeing(len(ids), 'keeps', 'keep')} a confidence that lies more "
        f"than {exposure.threshold:.1f} logits above the retrained model {every}. The same count, {every}, {beside}. "
        f"(The threshold is what at most {CHANCE:.0%} of the examples of the second retraining exceed in one seed.) "
        f"{_recognised(results, subject)} {_reconciled(verdict)}"
    )
    return f"<h2>Examples that remain exposed</h2><p>{text}</p>" + (
        f"<p>Ids, most exposed first: {listed(ids)}.</p>" if ids else ""
    )


def _reconciled(verdict: str) -> str:
    """What counts of single examples say beside the verdict on the model."""
    rests = (
        f"The verdict, {verdict}, rests on the primary measures above and not on these counts, which describe single "
        "examples and are no test of the model"
    )
    if verdict == APART:
        return f"{rests}: they show where the difference may lie."
    return (
        f"{rests}: where they are far above those of the further retraining, single examples may still be exposed "
        "although no primary measure tells the model apart; a per-example attack over shadow models, declared primary, "
        "would test that."
    )


def _recognised(results: Results, subject: Subject) -> str:
    """Which examples each per-example attack tells apart, beside the same in the retrained model."""
    rows = [
        r
        for r in results.query(
            "example_auc",
            architecture=subject.architecture,
            forget_set=subject.forget_set,
            fdr=FALSE_DISCOVERIES,
        ).to_pylist()
        if (r["role"], r["method"], r["scope"]) == (subject.role, subject.method, subject.scope)
        and r["told_apart"] is not None
    ]
    if not rows:
        return "No per-example membership attack tested single examples."
    parts = []
    for attack in sorted({r["attack"] for r in rows}):
        mine = sorted((r for r in rows if r["attack"] == attack), key=lambda r: -r["auc"])
        tested = {r["example_id"] for r in mine}  # by several statistics: each count allows for their number
        found = list(dict.fromkeys(r["example_id"] for r in mine if r["told_apart"]))
        judged = [r for r in mine if r["retrained_told_apart"] is not None]
        control = {r["example_id"] for r in judged if r["retrained_told_apart"]}
        named = f" ({listed(found)})" if found else ""
        against = f"; in the retrained model {len(control)}" if judged else ""
        parts.append(f"{escape(attack)} {len(found)} of {len(tested)} examples{named}{against}")
    return (
        f"Per-example attacks tell apart, where {FALSE_DISCOVERIES:.0%} of the examples that each calls so are "
        f"expected to be false: {'; '.join(parts)}."
    )


def listed(ids: list[int]) -> str:
    """Ids with commas; the first of many."""
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(map(str, ids[:IDS_SHOWN])) + more
