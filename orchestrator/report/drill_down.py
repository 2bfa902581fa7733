"""What the script of a page reads to compare two models, to show classes, and to follow an example over epochs."""

from __future__ import annotations

from typing import Any

from orchestrator.report.chart_tables import HEADINGS
from orchestrator.report.facts.columns import shortened
from orchestrator.report.facts.compare import Comparison
from orchestrator.report.facts.confusion import Confusion
from orchestrator.report.facts.facts import Facts
from orchestrator.report.facts.history import NAME
from orchestrator.report.facts.paired import Difference
from orchestrator.results.charts.colours import Spec
from orchestrator.results.charts.curves import epochs

STATIC_PLACES = 6
"""Places whose comparison and matrix stand in a page without a script, too."""
AXIS = "above never seen (logits)"


def history_spec() -> Spec:
    """The chart of one example: a panel for each model, its curve beside the level after retraining."""
    return epochs(AXIS)


def drill_down(facts: Facts) -> dict[str, Any]:
    """Entries of the data of a page."""
    return {
        "tables": {name: HEADINGS[name] for name in (c.name for c in facts.charts if c.rows)},
        "compare": [_comparison(one) for one in facts.comparisons],
        "confusion": _confusion(facts.confusion),
        "history": [[place.examples, place.of] for place in facts.history.places],
        "trajectories": facts.missing["order"],
    }


def with_history(charts: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """The charts of a page with that of one example, where there is a history."""
    shown = facts.history.drawn
    if not shown.rows:
        return charts
    made = {
        "title": "Over epochs of unlearning",
        "choices": [],
        "rows": shown.rows,
        "columns": dict(shown.columns),
    }
    return charts | {NAME: made}


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "headings": one.headings,
        "measured": one.measured,
        "models": [[m.label, m.entries, m.stand_out] for m in one.models],
        "pairs": {f"{p.one},{p.other}": [_rounded(d) for d in p.differences] for p in one.pairs.found},
        "statistic": one.statistic,
        "shared": {f"{s.one},{s.other}": [s.examples, s.shown] for s in one.shared},
    }


def _rounded(difference: Difference | None) -> list[float | str | None] | None:
    """The difference and its ends; instead of these why there are none."""
    if difference is None:
        return None
    value, low, high, why = difference
    return [shortened(value), why] if why else [shortened(end) for end in (value, low, high)]


def _confusion(found: Confusion) -> dict[str, Any]:
    return {
        "names": found.names,
        "matrices": [
            {
                "place": m.place,
                "label": m.label,
                "split": m.split,
                "seeds": m.seeds,
                "classes": m.classes,
                "left": m.left_out,
                "n": m.examples,
                "cells": [[c.row, c.column, c.share, c.retrained] for c in m.cells],
            }
            for m in found.matrices
        ],
    }
