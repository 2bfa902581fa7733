"""Specifications of curves: robust accuracy over eps, epochs of unlearning, ROC."""

from __future__ import annotations

from orchestrator.results.charts.colours import Spec
from orchestrator.results.charts.parts import (
    DESCRIPTION,
    base,
    dots,
    facetted,
    known,
    silent,
    tooltip,
    where,
)

OWN = "datum.panel == who"
IN_FACET = "true"


def robustness(*, facet: bool = False) -> Spec:
    """Robust accuracy over eps: the methods of a panel before retraining and all others in grey.

    Rows: label, method, scope, role, eps, value, low, high; in facets also panel and panel_order.
    """
    own = "datum.method == datum.panel" if facet else "datum.method == who"
    x = {"field": "eps", "type": "quantitative", "axis": {"title": "ε", "tickCount": 4, "grid": False}}
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, 1]},
        "axis": {"title": None, "tickCount": 3, "format": "%"},
    }
    ends = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    shown = tooltip(
        ("label", "model"), ("#eps", "ε"), ("#value", "robust accuracy"), ("#low", "from"), ("#high", "to")
    )
    audited, reference = "datum.role == 'audited'", "datum.role == 'reference'"
    line = {"x": x, "y": y, "detail": {"field": "label"}}
    layers = [
        where(
            f"{reference} && {known('low', 'high')}",
            {"mark": silent("area", color="@band"), "encoding": ends},
        ),
        where(
            f"{audited} && !({own})",
            {"mark": silent("line", color="@faint", strokeWidth=1), "encoding": line},
        ),
        where(
            "datum.role == 'ceiling'",
            {"mark": silent("line", color="@muted", strokeDash=[4, 3], strokeWidth=1.5), "encoding": line},
        ),
        where(reference, {"mark": silent("line", color="@ink", strokeWidth=1.5), "encoding": line}),
        where(
            f"{audited} && {own} && {known('low', 'high')}",
            {"mark": silent("rule", color="@pick"), "encoding": ends},
        ),
        where(
            f"{audited} && {own}", {"mark": silent("line", color="@pick", strokeWidth=2), "encoding": line}
        ),
        where(
            f"{audited} && {own}",
            {
                "mark": dots(45, color="@pick"),
                "encoding": {"x": x, "y": y, "description": DESCRIPTION, "tooltip": shown},
            },
        ),
    ]
    spec = base(width=176, height=104, params=[{"name": "who", "value": ""}], layer=layers)
    return facetted(spec, columns=4, size=(120, 90)) if facet else spec


def epochs(axis: str, *, share: bool = False, facet: bool = False) -> Spec:
    """Curves over the epochs of unlearning, a panel for each method.

    Rows: panel, label (the curve), epoch, value, low, high, tone (apart, undecided, control or faint).
    """
    own = IN_FACET if facet else OWN
    x = {
        "field": "epoch",
        "type": "quantitative",
        "axis": {"title": "epoch of unlearning", "tickCount": 4, "tickMinStep": 1, "grid": False},
    }
    limits = {"scale": {"domain": [0, 1]}} if share else {"scale": {"zero": False}}
    y = {
        "field": "value",
        "type": "quantitative",
        "axis": {"title": axis, "tickCount": 4, **({"format": "%"} if share else {})},
        **limits,
    }
    tones = ("apart", "undecided", "control", "faint")
    tone = {
        "field": "tone",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": [*tones], "range": [f"@{tone}" for tone in tones]},
    }
    line = {"x": x, "y": y, "color": tone, "detail": {"field": "label"}}
    shown = tooltip(
        ("label", "examples"), ("epoch", "epoch"), ("#value", axis), ("#low", "from"), ("#high", "to")
    )
    ends = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": tone}
    layers = [
        where(f"{own} && {known('low', 'high')}", {"mark": silent("rule"), "encoding": ends}),
        where(own, {"mark": silent("line", strokeWidth=2), "encoding": line}),
        where(own, {"mark": dots(35), "encoding": {**line, "description": DESCRIPTION, "tooltip": shown}}),
        {
            "transform": [
                {"filter": own},
                {
                    "joinaggregate": [{"op": "max", "field": "epoch", "as": "last"}],
                    "groupby": ["panel", "label"],
                },
                {"filter": "datum.epoch == datum.last"},
            ],
            "mark": silent("text", align="right", dy=-7, fontSize=11),
            "encoding": {"x": x, "y": y, "text": {"field": "label"}, "color": tone},
        },
    ]
    spec = base(width=230, height=140, params=[{"name": "who", "value": ""}], layer=layers)
    return facetted(spec, columns=3, size=(170, 110)) if facet else spec


def roc() -> Spec:
    """ROC curves on log scales, before the diagonal of guessing.

    Rows: label, tone, family (population or per_example), fpr, value, low, high.
    """

    def axis(title: str) -> Spec:
        return {"title": title, "tickCount": 4, "format": "~g"}

    x = {
        "field": "fpr",
        "type": "quantitative",
        "scale": {"type": "log"},
        "axis": axis("false positive rate"),
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"type": "log"},
        "axis": axis("true positive rate"),
    }
    tone = {
        "field": "tone",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": ["reference", "ceiling", "audited"], "range": ["@ink", "@muted", "@apart"]},
    }
    dash = {
        "field": "family",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": ["population", "per_example"], "range": [[1, 0], [5, 3]]},
    }
    line = {"x": x, "y": y, "color": tone, "detail": {"field": "label"}}
    shown = tooltip(
        ("label", "model"),
        ("#fpr", "false positives"),
        ("#value", "true positives"),
        ("#low", "from"),
        ("#high", "to"),
    )
    guessing = {
        "mark": silent("line", color="@faint", strokeDash=[2, 3]),
        "encoding": {"x": x, "y": {**y, "field": "fpr"}},
    }
    reach = {
        "mark": silent("rule"),
        "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": tone},
    }
    curve = {"mark": silent("line", strokeWidth=2), "encoding": {**line, "strokeDash": dash}}
    dot = {"mark": dots(30), "encoding": {**line, "description": DESCRIPTION, "tooltip": shown}}
    return base(width=430, height=300, layer=[guessing, where("datum.low > 0", reach), curve, dot])
