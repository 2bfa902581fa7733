"""The leaderboard: every model beside the retrained one."""

from __future__ import annotations

import re
from html import escape

from orchestrator.progress.duration import measured_duration
from orchestrator.report.blocks import (
    Block,
    Context,
    Missing,
    Section,
    Source,
    Table,
    measured,
    number,
)
from orchestrator.report.evidence import ROLE_ORDER, ROLES, Evidence, Finding, Place, signed

ROWS_SHOWN = 8
"""Audited models in sight, closest first; a reader unfolds the others."""
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "forget", "accuracy, forgotten"),
    ("accuracy", "retain", "accuracy, retained"),
    ("accuracy", "test", "accuracy, test"),
    ("robust_accuracy_area", "test", "robust accuracy, test"),
    ("class_accuracy_gap", "test", "class gap, test"),
    ("auc", "forget", "membership AUC"),
)


def leaderboard_section(context: Context) -> Section:
    """One table for each place."""
    evidence = context.evidence
    cost = {
        (r["architecture"], r["forget_set"], r["method"], r["scope"]): r
        for r in context.results.query("unlearning_cost").to_pylist()
    }
    tables: list[Block] = [_table(evidence, place, cost) for place in evidence.places]
    if not tables:
        tables = [
            Missing(
                reason="No cell has finished.", command=f"python -m orchestrator.sweep --out {context.root}"
            )
        ]
    return Section(
        anchor="leaderboard",
        title="Leaderboard",
        lead="How far is each model from the retrained one? Closest first; value, difference and their "
        "intervals.",
        blocks=tables,
    )


def _table(evidence: Evidence, place: Place, cost: dict) -> Table:
    models = {(f.role, *f.model): None for f in evidence.at(place)}
    distance = {model: _distance(evidence, place, model) for model in models}
    ordered = sorted(models, key=lambda m: (ROLE_ORDER.index(m[0]), distance[m], m))
    rows, quiet = [], set()
    for rank, (role, method, scope) in enumerate(ordered):
        if role in ROLES:
            quiet.add(rank)
        found = evidence.at(place, role=role, method=method, scope=scope)
        cells = [_cell(_pick(evidence, place, found, metric, split)) for metric, split, _ in COLUMNS]
        price = cost.get((place.architecture, place.forget_set, method, scope))
        far = distance[role, method, scope]
        rows.append(
            [
                f"<strong>{escape(evidence.label(role, method, scope))}</strong>",
                number(far) if far < float("inf") else "\N{EN DASH}",
                *cells,
                "1" if role == "reference" else _ratio(price),
            ]
        )
    return Table(
        caption="<em>Distance</em> is the mean absolute difference "
        "from retraining in accuracy on forgotten, retained and test examples. Under each value its "
        "interval, then &Delta;, the difference from retraining, in colour where it is "
        "told apart from the noise floor. Membership AUC is that of the statistic that best tells doing "
        "nothing from retraining.",
        heading=["model", "distance", *(text for _, _, text in COLUMNS), "cost, retraining = 1"],
        rows=rows,
        source=Source(query="verdict", params={"forget_set": place.forget_set}),
        title=place.text,
        quiet=frozenset(quiet),
        shown=len(quiet) + ROWS_SHOWN if len(rows) > len(quiet) + ROWS_SHOWN + 2 else None,
    )


def _distance(evidence: Evidence, place: Place, model: tuple[str, str, str]) -> float:
    role, method, scope = model
    gaps = [
        abs(f.difference)
        for split in ("forget", "retain", "test")
        for f in evidence.at(place, role=role, method=method, scope=scope, metric="accuracy", split=split)
        if f.attack_family == "none" and f.difference is not None
    ]
    return sum(gaps) / len(gaps) if gaps else float("inf")


def _pick(evidence: Evidence, place: Place, found: list[Finding], metric: str, split: str) -> Finding | None:
    """The finding of a column; of several attacks or statistics the one that tells the controls apart best."""
    candidates = [f for f in found if (f.metric, f.split) == (metric, split)]
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    chosen = telling_measure(evidence, place, metric, split)
    return next((f for f in candidates if f.measure == chosen), candidates[0])


def telling_measure(
    evidence: Evidence, place: Place, metric: str, split: str, *, family: str | None = None
) -> tuple[str, ...] | None:
    """The measure of a metric on which doing nothing differs most from retraining."""
    controls = [
        f
        for f in evidence.at(place, role="ceiling", metric=metric, split=split)
        if f.difference is not None and family in (None, f.attack_family)
    ]
    return max(controls, key=lambda f: (abs(f.difference or 0), f.measure)).measure if controls else None


def _cell(finding: Finding | None) -> str:
    if finding is None:
        return "\N{EN DASH}"
    value = f'<span class="line">{measured(finding.value, finding.value_low, finding.value_high)}</span>'
    if finding.role == "reference" or finding.difference is None:
        return value
    kind = "diff apart" if finding.told_apart else "diff"
    reach = ""
    if finding.difference_low is not None:
        reach = f" ({_short(finding.difference_low)} to {_short(finding.difference_high)})"
    return f'{value}<span class="{kind}">&Delta;&nbsp;{signed(finding.difference)}{reach}</span>'


def _short(value: float | None) -> str:
    """Two decimals without the leading zero, where room is scarce."""
    return re.sub(r"\b0\.", ".", number(value, 2))


def _ratio(price: dict | None) -> str:
    if price is None or price["ratio"] is None:
        return "\N{EN DASH}"
    return f"{price['ratio']:.2g}<span class='ci'>{measured_duration(price['device_seconds'])}</span>"
