"""The question of an audit and its answer in plain words; it never says 'safe'."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from orchestrator.report.blocks import Block, Context, Missing, Section, Source, Table, Text, code
from orchestrator.report.evidence import (
    GROUPS,
    ROLES,
    Evidence,
    Finding,
    Group,
    Place,
    clearest,
    unnoticed,
    why_told_apart,
)

SOURCE = Source(query="verdict")


def verdict_section(context: Context) -> Section:
    """The question, the answer by place, and a table of which model is told apart by what."""
    evidence = context.evidence
    blocks: list[Block] = [Text(html=_question())]
    if not any(f.role == "audited" for f in evidence.findings):
        blocks.append(
            Missing(
                reason="No audited model has finished beside its retrained model yet, so there is no "
                "verdict.",
                command=f"python -m orchestrator.sweep --out {context.root}",
            )
        )
    else:
        blocks.append(Text(html="".join(_place_html(evidence, place) for place in evidence.places)))
        blocks.append(_matrix(evidence))
        blocks.append(Text(html=_caveat(evidence)))
    return Section(
        anchor="verdict",
        title="The verdict",
        lead="Which unlearned models can be told from models that never saw the data?",
        blocks=blocks,
    )


def _question() -> str:
    return (
        "<p>A model that has forgotten should be indistinguishable from one retrained without the data. "
        "Two retrainings differ from each other too, by chance: that difference is the <em>noise floor</em>. "
        "A model is <strong>told apart</strong> on a measure when the 95&nbsp;% interval of its difference "
        "from retraining lies wholly beyond the noise floor. <em>Not told apart</em> means that this audit "
        "saw no difference of that size; it is not proof that nothing remains.</p>"
    )


def _place_html(evidence: Evidence, place: Place) -> str:
    audited = evidence.measured(place, "audited")
    if not audited:
        return ""
    apart = {model: clearest(found) for model, found in audited.items()}
    told = [(model, best) for model, best in apart.items() if best is not None]
    silent = [model for model, best in apart.items() if best is None]
    seeds = max(f.seeds for found in audited.values() for f in found)
    head = (
        f"<h3>{escape(place.architecture)} &middot; {code(place.forget_set)}</h3>"
        f"<p class='standing'><strong>{len(told)} of {len(audited)}</strong> unlearned models are told "
        f"apart from retraining ({seeds} seed{'s' if seeds > 1 else ''}). {_power(evidence, place)}</p>"
    )
    items = [
        f"<li><strong>{escape(evidence.label('audited', *model))}</strong>, most clearly: "
        f"{escape(why_told_apart(best))}.</li>"
        for model, best in sorted(told, key=lambda pair: -pair[1].clearness)
    ]
    if silent:
        names = ", ".join(f"<strong>{escape(evidence.label('audited', *m))}</strong>" for m in silent)
        missed = escape(unnoticed(audited[silent[0]]))
        undecided = any(f.verdict == "undecided" for m in silent for f in audited[m])
        doubt = " Some measures lack an interval or a second retraining." if undecided else ""
        items.append(f"<li>Not told apart on any measure: {names}; {missed}.{doubt}</li>")
    return f"<div class='place'>{head}<ul>{''.join(items)}</ul></div>"


def _power(evidence: Evidence, place: Place) -> str:
    """Whether the audit could see anything here: it must tell the untouched model from the retrained one."""
    ceiling = [f for found in evidence.measured(place, "ceiling").values() for f in found]
    if not ceiling:
        return "The control 'doing nothing' is missing, so the power of this audit is unknown."
    apart = sum(f.told_apart for f in ceiling)
    if not apart:
        return (
            "Even <em>doing nothing</em> is not told apart: here the audit lacks power, and its silence "
            "about a method means nothing. More seeds, a larger forget set or a per-example attack may help."
        )
    return f"<em>Doing nothing</em> is told apart on {apart} of {len(ceiling)} measures: the audit can see."


def _matrix(evidence: Evidence) -> Table:
    rows: list[list[str]] = []
    quiet: set[int] = set()
    for place in evidence.places:
        for role in ("noise_floor", "ceiling", "audited"):
            for (method, scope), found in sorted(evidence.measured(place, role).items()):
                if role in ROLES:
                    quiet.add(len(rows))
                cells = [_tally([f for f in found if f.group == group]) for group in GROUPS]
                label = escape(evidence.label(role, method, scope))
                rows.append([escape(place.architecture), code(place.forget_set), label, *cells])
    return Table(
        caption="Measures on which each model is told apart from retraining, of those taken. "
        "<span class='apart'>&#9679;</span> told apart on at least one, "
        "<span class='same'>&#9675;</span> on none, &ndash; not measured. "
        "Read <em>retrained again</em> first: it shows what chance alone does.",
        heading=["architecture", "forget set", "model", *(GROUPS[g] for g in GROUPS)],
        rows=rows,
        source=SOURCE,
        quiet=frozenset(quiet),
    )


def _tally(findings: Sequence[Finding]) -> str:
    decided = [f for f in findings if f.verdict != "undecided"]
    if not decided:
        return "&ndash;"
    apart = sum(f.told_apart for f in decided)
    mark = "<span class='apart'>&#9679;</span>" if apart else "<span class='same'>&#9675;</span>"
    return f"{mark} {apart} of {len(decided)}"


def _caveat(evidence: Evidence) -> str:
    audited = [f for f in evidence.findings if f.role == "audited" and f.group is not None]
    membership: Group = "membership"
    families = {f.attack_family for f in audited if f.group == membership}
    text = (
        f"<p>{len(audited)} comparisons stand behind this. Each interval misses its true value in about 1 "
        "of 20 cases, so a single measure that barely crosses the floor is weak evidence; many, or one far "
        "beyond it, are strong.</p>"
    )
    if "per_example" not in families:
        text += (
            "<p>No per-example attack was run. Population attacks look at averages and are known to miss "
            "single examples that a model still remembers (Hayes et al., 2024).</p>"
        )
    return text
