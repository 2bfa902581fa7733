"""How many forgotten examples an attack still recognises, beside those it flags in a retrained model."""

from __future__ import annotations

from collections import defaultdict
from html import escape

from orchestrator.report.blocks import Context, Source, Table, code, measured
from orchestrator.report.evidence import ROLE_ORDER, ROLES
from tasks.metrics.intervals import clopper_pearson


def exposure_table(context: Context, family: str = "per_example") -> Table | None:
    """Shares of flagged examples by model under a per-example attack; None without one."""
    rows = context.results.query("exposure", family=family).to_pylist()
    attacks = _telling_attacks(context, family)
    rows = [r for r in rows if attacks.get((r["architecture"], r["forget_set"])) == r["attack"]]
    groups: dict[tuple[str, ...], list[dict]] = defaultdict(list)
    for r in rows:
        names = ("architecture", "forget_set", "attack", "statistic", "role", "method", "scope")
        groups[tuple(r[name] or "" for name in names)].append(r)
    if not groups:
        return None
    body: list[list[str]] = []
    quiet: set[int] = set()
    for key in sorted(groups, key=lambda k: (*k[:4], ROLE_ORDER.index(k[4]), *k[5:])):
        architecture, forget_set, attack, statistic, role, method, scope = key
        found = groups[key]
        if role in ROLES:
            quiet.add(len(body))
        control = [r for r in found if r["retrained_flagged"] is not None]
        body.append(
            [
                escape(architecture),
                code(forget_set),
                escape(attack if statistic in attack else f"{attack} {statistic}"),
                escape(context.evidence.label(role, method, scope)),
                _share([r["flagged"] for r in found]),
                _share([r["retrained_flagged"] for r in control]),
            ]
        )
    return Table(
        caption="Share of forgotten examples that the attack calls members at a false positive rate of "
        "1&nbsp;%, and the same under the retrained model, where it can only be wrong. The excess is what "
        "is still remembered.",
        heading=["architecture", "forget set", "attack", "model", "recognised", "recognised in retrained"],
        rows=body,
        source=Source(query="exposure", params={"family": family}),
        quiet=frozenset(quiet),
    )


def _telling_attacks(context: Context, family: str) -> dict[tuple[str, str], str]:
    """At each place the attack that best recognises forgotten examples when nothing was unlearned."""
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for f in context.evidence.findings:
        if (f.metric, f.split, f.attack_family, f.role) == ("auc", "forget", family, "ceiling"):
            place = (f.architecture, f.forget_set)
            best[place] = max(best.get(place, (-1.0, "")), (f.value, f.attack))
    return {place: attack for place, (_, attack) in best.items()}


def _share(flags: list[bool]) -> str:
    if not flags:
        return "\N{EN DASH}"
    low, high = clopper_pearson(sum(flags), len(flags))
    return measured(sum(flags) / len(flags), float(low), float(high))
