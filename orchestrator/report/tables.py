"""The leaderboard: every model beside the retrained one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from orchestrator.progress.duration import measured_duration
from orchestrator.report.blocks import (
    COVERAGE,
    Block,
    Context,
    Missing,
    Section,
    Source,
    Table,
    measured,
    number,
)
from orchestrator.report.verdict_tables import in_a_word
from orchestrator.results.evidence import ROLE_ORDER, ROLES, Evidence, Finding, Place, Value, signed

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


Model = tuple[str, str, str, str]
"""Architecture, forget set, method and scope."""


def leaderboard_section(context: Context) -> Section:
    """One table for each place."""
    evidence = context.evidence
    cost = prices(context)
    tables: list[Block] = [_table(evidence, place, cost) for place in evidence.places]
    if not tables:
        tables = [Missing(reason="No cell has finished.", command=context.sweep())]
    return Section(
        anchor="leaderboard",
        title="Leaderboard",
        lead="How far is each model from the retrained one? Closest first; value, difference and their "
        "intervals.",
        blocks=tables,
    )


def _table(evidence: Evidence, place: Place, cost: Mapping[Model, list[dict[str, Any]]]) -> Table:
    models = {(v.role, *v.model): None for v in evidence.at(place)}
    verdicts = {(m.role, *m.model): m for m in evidence.judged_models(place)}
    gaps = {
        (v.role, *v.model): v.value
        for v in evidence.at(place, metric="average_gap", attack_family="none")
        if v.role != "reference"
    }
    ordered = sorted(models, key=lambda m: (ROLE_ORDER.index(m[0]), gaps.get(m, float("inf")), m))
    rows, quiet = [], set()
    for rank, (role, method, scope) in enumerate(ordered):
        if role in ROLES:
            quiet.add(rank)
        found = evidence.at(place, role=role, method=method, scope=scope)
        cells = [_cell(_pick(evidence, place, found, metric, split)) for metric, split, _ in COLUMNS]
        price = cost.get((place.architecture, place.forget_set, method, scope), ())
        rows.append(
            [
                f"<strong>{escape(evidence.label(role, method, scope))}</strong>",
                in_a_word(verdicts.get((role, method, scope))),
                number(gaps.get((role, method, scope))),
                *cells,
                "1" if role == "reference" else _ratio(price),
            ]
        )
    return Table(
        caption="<em>Gap</em> is the mean absolute difference from retraining in accuracy on forgotten, retained "
        "and test examples, seed by seed. Under each value, from the lowest to the highest end of the seeds' own "
        f"{COVERAGE} intervals, then &Delta;, the difference from the mean of both retrainings with its {COVERAGE} "
        f"interval over seeds, in colour where this measure tells the model apart.{_shown_measures(evidence, place)}",
        heading=["model", "verdict", "gap", *(text for _, _, text in COLUMNS), "cost, retraining = 1"],
        rows=rows,
        source=Source(query="verdict", params={"forget_set": place.forget_set}),
        title=place.text,
        quiet=frozenset(quiet),
        shown=len(quiet) + ROWS_SHOWN if len(rows) > len(quiet) + ROWS_SHOWN + 2 else None,
    )


def _shown_measures(evidence: Evidence, place: Place) -> str:
    """Which measure stands in the columns that several attacks could fill."""
    text = ""
    for metric, split, heading in COLUMNS:
        found = {f.measure: f for f in evidence.judged(place, metric=metric, split=split)}
        chosen = shown_measure(evidence, found.values())
        if chosen and len(found) > 1:
            text += f" {heading[0].upper()}{escape(heading[1:])}: {escape(found[chosen].words)}; the SQL has others."
    return text


def _pick(evidence: Evidence, place: Place, found: list[Value], metric: str, split: str) -> Value | None:
    """What stands in a column: the same measure in every row."""
    chosen = shown_measure(evidence, evidence.judged(place, metric=metric, split=split))
    candidates = [v for v in found if (v.metric, v.split) == (metric, split)]
    return next((v for v in candidates if chosen in (None, v.measure)), None)


def shown_measure(evidence: Evidence, findings: Iterable[Finding]) -> tuple[str, ...] | None:
    """Which measure is shown where several attacks or statistics give one metric; None of none.

    A primary one, else one of an attack that has a primary one; of adversarial attacks the one under which the
    retrained model fares worst; of others the first by name. What the attacks say of other models has no part in it.
    """

    def order(finding: Finding) -> tuple[bool, bool, float, tuple[str, ...]]:
        adversarial = finding.attack_family == "adversarial" and finding.retrained is not None
        fares = (finding.retrained or 0.0) if adversarial else 0.0
        return (not finding.primary, finding.attack not in evidence.primary_attacks, fares, finding.measure)

    first = min(findings, key=order, default=None)
    return first.measure if first else None


def _cell(value: Value | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    text = f'<span class="line">{measured(value.value, value.value_low, value.value_high)}</span>'
    if not isinstance(value, Finding) or value.difference is None:
        return text
    kind = "diff apart" if value.told_apart else "diff"
    reach = ""
    if value.difference_low is not None:
        reach = f" ({_short(value.difference_low)} to {_short(value.difference_high)})"
    return f'{text}<span class="{kind}">&Delta;&nbsp;{signed(value.difference)}{reach}</span>'


def _short(value: float | None) -> str:
    """Two decimals without the leading zero, where room is scarce."""
    return re.sub(r"\b0\.", ".", number(value, 2))


def prices(context: Context) -> Mapping[Model, list[dict[str, Any]]]:
    """Rows of the query unlearning_cost of each model, one for each kind of device that seeds of it ran on."""
    found = defaultdict(list)
    for row in context.results.query("unlearning_cost").to_pylist():
        found[row["architecture"], row["forget_set"], row["method"], row["scope"]].append(row)
    return found


def _ratio(rows: Sequence[dict[str, Any]]) -> str:
    """What a model costs; times of several kinds of device stand beside each other, for they have no mean."""
    told = []
    for row in rows:
        if row["ratio"] is not None:
            on = f", {escape(row['device'])}" if len(rows) > 1 else ""
            time = f"{measured_duration(row['device_seconds'])}{on}"
            told.append(f"{row['ratio']:.2g}<span class='ci'>{time}</span>")
    return "".join(told) or "\N{EN DASH}"
