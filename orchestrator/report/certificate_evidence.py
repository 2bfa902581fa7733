"""What a certificate says was found: the answer, the evidence beside its controls, the examples that stay exposed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.report.blocks import measured, number
from orchestrator.report.evidence import Evidence, Finding, Place, clearest, unnoticed, why_told_apart
from orchestrator.report.exposure import FALSE_DISCOVERIES
from orchestrator.report.subject import Subject
from orchestrator.report.tables import telling_measure

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

IDS_SHOWN = 25
CHANCE = 0.05
"""Share of examples that a second retraining puts above the threshold of exposure."""


def finding(evidence: Evidence, place: Place, found: list[Finding], failed: list[dict[str, Any]]) -> str:
    """The section with the answer in a paragraph."""
    best = clearest(found)
    apart = sum(f.told_apart for f in found)
    of_untouched = [f for fs in evidence.measured(place, "ceiling").values() for f in fs]
    controls = [f for f in of_untouched if f.measure in {g.measure for g in found}]
    seen = sum(f.told_apart for f in controls)
    if best is not None:
        text = (
            "The unlearned model <strong>can be told from</strong> a model retrained without the data, on "
            f"{apart} of {len(found)} measures. Most clearly: {escape(why_told_apart(best))}."
        )
        if apart == 1 and len(found) > 1:
            text += " One measure alone is weak evidence: by chance 1 interval in 20 misses."
    elif controls and not seen:
        text = (
            "<strong>No finding.</strong> The unlearned model was not told from a retrained one, but "
            "neither was the untouched original: this audit could not have seen a failure, and should be "
            "repeated with more power."
        )
    else:
        text = (
            f"On none of {len(found)} measures was the unlearned model told from one retrained without the "
            f"data; {escape(unnoticed(found))}. This is absence of evidence within these limits."
        )
    power = f" The untouched original is told from retraining on {seen} of the same {len(controls)} measures."
    if not controls:
        power = " The control 'doing nothing' is missing, so what this audit could have seen is unknown."
    elif any(f.role == "ceiling" for f in found):
        power = " This model is itself the control that does nothing: it must be told from retraining."
    absent = len({f.measure for f in of_untouched} - {g.measure for g in found})
    if absent:
        power += f" {absent} measures of that control were not taken of this model."
    return f"<h2>Finding</h2><div class='verdict'><p>{text}{power}</p>{_failed(failed)}</div>"


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


def evidence_table(evidence: Evidence, place: Place, found: list[Finding]) -> str:
    """The section with one measure of each kind, beside the same of the controls."""
    rows = []
    for group, split in dict.fromkeys((f.group, f.split) for f in found):
        same = [f for f in found if (f.group, f.split) == (group, split)]
        telling = {telling_measure(evidence, place, f.metric, split) for f in same}
        pick = max(same, key=lambda f: (f.told_apart, f.measure in telling, f.clearness))
        others = {
            role: next((f for f in evidence.at(place, role=role) if f.measure == pick.measure), None)
            for role in ("reference", "noise_floor", "ceiling")
        }
        cells = [
            measured(f.value, f.value_low, f.value_high) if f else "&ndash;" for f in (pick, *others.values())
        ]
        low, high = number(pick.difference_low, 2), number(pick.difference_high, 2)
        difference = f"{number(pick.difference)}<span class='ci'>{low} to {high}</span>"
        mark = f"<span class='{'apart' if pick.told_apart else 'same'}'>{escape(pick.verdict)}</span>"
        rows.append([escape(pick.words), *cells, difference, number(pick.noise_floor), mark])
    heading = (
        "measure",
        "unlearned",
        "retrained",
        "retrained again",
        "doing nothing",
        "difference",
        "noise",
        "",
    )
    head = "".join(f"<th>{h}</th>" for h in heading)
    body = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    seeds = max((f.seeds for f in found), default=0)
    return (
        "<h2>Evidence and controls</h2>"
        f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<p class='ci' style='white-space: normal'>Means over {seeds} seed{'s' if seeds != 1 else ''} "
        "with 95 % intervals. Difference: unlearned minus retrained. Noise: how far a second retraining "
        "lay from the first. Told apart: the interval of the difference lies wholly beyond the noise. Of "
        f"several attacks or statistics the one that speaks most against the model is shown.{_games(found)}</p>"
    )


def _games(found: list[Finding]) -> str:
    """What the games of the membership measures compare."""
    from tasks.shadows.games import GAMES

    used = sorted({f.game for f in found if f.game in GAMES})
    return "".join(f" {game}: {escape(GAMES[game])}." for game in used)


def exposed_examples(rows: list[dict[str, Any]], subject: Subject) -> tuple[list[int], float, int]:
    """Forget examples whose confidence stays above what a second retraining explains, in every seed.

    Args:
        rows: of queries/excess_confidence.sql.
        subject: the model.

    Returns:
        Ids by falling mean excess, the threshold in logits, and how many examples were judged.
    """
    noise = [r["excess"] for r in rows if r["role"] == "noise_floor"]
    excess: dict[int, list[float]] = {}
    for r in rows:
        if r["role"] == subject.role and (r["method"], r["scope"]) == (subject.method, subject.scope):
            excess.setdefault(r["example_id"], []).append(r["excess"])
    if not noise or not excess:
        return [], float("nan"), len(excess)
    threshold = float(np.quantile(noise, 1 - CHANCE))
    above = [i for i, values in excess.items() if min(values) > threshold]
    return sorted(above, key=lambda i: -sum(excess[i]) / len(excess[i])), threshold, len(excess)


def exposed(results: Results, subject: Subject) -> str:
    """The section on single examples."""
    rows = results.query(
        "excess_confidence", architecture=subject.architecture, forget_set=subject.forget_set
    ).to_pylist()
    ids, threshold, judged = exposed_examples(rows, subject)
    if not judged or threshold != threshold:
        text = (
            "Single examples cannot be judged: answers of this model or of a second retraining are missing."
        )
        return f"<h2>Examples that remain exposed</h2><p>{text}</p>"
    text = (
        f"{len(ids)} of {judged} examples keep a confidence that lies more than {threshold:.1f} logits "
        f"above the retrained model in every seed; under a second retraining {CHANCE:.0%} do by chance in "
        "one seed. " + _recognised(results, subject)
    )
    return f"<h2>Examples that remain exposed</h2><p>{text}</p>" + (
        f"<p>Ids, most exposed first: {listed(ids)}.</p>" if ids else ""
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
        mine = [r for r in rows if r["attack"] == attack]
        found = sorted((r for r in mine if r["told_apart"]), key=lambda r: -r["auc"])
        control = [r["retrained_told_apart"] for r in mine if r["retrained_told_apart"] is not None]
        named = f" ({listed([r['example_id'] for r in found])})" if found else ""
        against = f"; in the retrained model {sum(control)}" if control else ""
        parts.append(f"{escape(attack)} {len(found)} of {len(mine)} examples{named}{against}")
    return (
        f"Per-example attacks tell apart, where {FALSE_DISCOVERIES:.0%} of the examples that each calls so are "
        f"expected to be false: {'; '.join(parts)}."
    )


def listed(ids: list[int]) -> str:
    """Ids with commas; the first of many."""
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(map(str, ids[:IDS_SHOWN])) + more
