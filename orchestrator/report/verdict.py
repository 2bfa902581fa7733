"""The question of an audit and its answer in plain words; it never says 'safe'."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from orchestrator.report.blocks import Block, Context, Missing, Section, Source, Table, Text, code
from orchestrator.report.evidence import (
    GROUPS,
    ROLE_ORDER,
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
CLEAREST = 3
"""Models in sight at each place, of those that are told apart; a reader unfolds the others."""
WIDEST = 6
"""Places beside each other in one table."""


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
        blocks.append(Text(html=_short(evidence)))
        blocks += [
            _overview(evidence, evidence.places[i : i + WIDEST])
            for i in range(0, len(evidence.places), WIDEST)
        ]
        blocks.append(Text(html=_caveat(evidence)))
        blocks.append(Text(html="".join(_place_html(evidence, place) for place in evidence.places)))
        blocks.append(_matrix(evidence))
    return Section(
        anchor="verdict",
        title="The verdict",
        lead="Which unlearned models can be told from models that never saw the data?",
        blocks=blocks,
    )


def _short(evidence: Evidence) -> str:
    """The answer in a paragraph."""
    models = [found for place in evidence.places for found in evidence.measured(place, "audited").values()]
    counts = [sum(f.told_apart for f in found) for found in models]
    apart, once = sum(count > 0 for count in counts), counts.count(1)
    weak = f", {once} of them on a single measure, which is weak evidence" if once else ""
    blind = [place for place in evidence.places if not _sees(evidence, place)]
    noun = "model is" if len(models) == 1 else "models are"
    text = (
        f"<p class='verdict'><strong>{apart or 'None'} of {len(models)} unlearned {noun} told apart from "
        f"retraining</strong>{weak}."
    )
    if apart < len(models):
        text += (
            f" {'The others differ' if apart else 'They differ'} from retraining by no more than two "
            "retrainings differ from each other, as far as these measures see."
        )
    if blind:
        names = ", ".join(f"{escape(p.architecture)} {code(p.forget_set)}" for p in blind)
        where = "everywhere" if len(blind) == len(evidence.places) else f"at {names}"
        text += (
            f" But {where} even <em>doing nothing</em> passes: there the audit lacks power, and a pass means "
            "nothing."
        )
    return text + "</p>"


def _sees(evidence: Evidence, place: Place) -> bool:
    """Whether the untouched model is told apart there."""
    return any(f.told_apart for found in evidence.measured(place, "ceiling").values() for f in found)


def _overview(evidence: Evidence, places: Sequence[Place]) -> Table:
    """Models by rows, places by columns: on how many measures each is told apart."""
    found = {
        (role, *model, place): findings
        for role in ("noise_floor", "ceiling", "audited")
        for place in places
        for model, findings in evidence.measured(place, role).items()
    }
    models = sorted({key[:3] for key in found}, key=lambda m: (ROLE_ORDER.index(m[0]), *m[1:]))
    rows = [
        [escape(evidence.label(*model)), *(_tally(found.get((*model, place), ())) for place in places)]
        for model in models
    ]
    return Table(
        caption="Measures on which each model is told apart from retraining, of those taken. "
        "<span class='apart'>&#9679;</span> told apart on at least one, "
        "<span class='same'>&#9675;</span> on none, &ndash; not measured. "
        "Read the two grey rows first: <em>retrained again</em> shows what chance alone does, <em>doing "
        "nothing</em> whether the audit can see.",
        heading=["model", *(f"{place.architecture}, {place.forget_set}" for place in places)],
        rows=rows,
        source=SOURCE,
        quiet=frozenset(i for i, model in enumerate(models) if model[0] in ROLES),
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
    rest = ""
    if len(items) > CLEAREST + 1:
        rest = (
            f"<details class='more'><summary>{len(items) - CLEAREST} more that are told apart</summary>"
            f"<ul>{''.join(items[CLEAREST:])}</ul></details>"
        )
        items = items[:CLEAREST]
    if silent:
        names = ", ".join(f"<strong>{escape(evidence.label('audited', *m))}</strong>" for m in silent)
        missed = escape(unnoticed(audited[silent[0]]))
        undecided = any(f.verdict == "undecided" for m in silent for f in audited[m])
        doubt = " Some measures lack an interval or a second retraining." if undecided else ""
        items.append(f"<li>Not told apart on any measure: {names}; {missed}.{doubt}</li>")
    return f"<div class='place'>{head}<ul>{''.join(items)}</ul>{rest}</div>"


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
        caption="The measures of the first table by their kind.",
        title="By kind of measure",
        shown=0,
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
    return f"{mark}&nbsp;{apart}&nbsp;of&nbsp;{len(decided)}"


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
