"""Specifications of dots: intervals in rows, points with both intervals, a strip of single examples.

What they draw enters as data; no name and no number of results is part of a specification.
"""

from __future__ import annotations

from orchestrator.results.charts.colours import Spec
from orchestrator.results.charts.names import BESIDE, LONGEST, WIDTHS
from orchestrator.results.charts.parts import (
    DESCRIPTION,
    ROW,
    SHAPE,
    VERDICT,
    base,
    dots,
    known,
    quantity,
    rows_by,
    silent,
    tooltip,
    where,
)

_NARROW, _USUAL, _WIDE = WIDTHS
SIDE = f"datum[width < {WIDTHS[_USUAL]} ? '{_NARROW}' : width < {WIDTHS[_WIDE]} ? '{_USUAL}' : '{_WIDE}']"
"""Where a name stands in a drawing of this width."""


def intervals(axis: str, *, origin: float | None = 0.0, log: bool = False, verdicts: bool = False) -> Spec:
    """Values in rows with their intervals, a line at the origin, and the margin about it where rows have one.

    Rows: label, order, value, low, high, margin, verdict, note.
    """
    scale = {"scale": {"type": "log" if log else "linear", "zero": False, "nice": not log}}
    ticks = {"tickCount": 5, "format": "~g"} if log else {"tickCount": 5}
    x = {"field": "value", "type": "quantitative", "axis": {"title": axis, **ticks}, **scale}
    y = rows_by("label")
    end = "difference" if verdicts else "value"
    shown = tooltip(
        ("label", "model"), *([("verdict", "verdict")] if verdicts else []), ("#value", end), ("#low", "from"),
        ("#high", "to"), ("note", ""),
    )  # fmt: skip
    band = {
        "transform": [
            {"aggregate": [{"op": "max", "field": "margin", "as": "margin"}]},
            {"filter": known("margin")},
            {"calculate": f"{origin or 0} - datum.margin", "as": "least"},
            {"calculate": f"{origin or 0} + datum.margin", "as": "most"},
        ],
        "mark": silent("rect", color="@band"),
        "encoding": {"x": quantity("least"), "x2": {"field": "most"}},
    }
    line = {"mark": silent("rule", color="@muted"), "encoding": {"x": {"datum": origin}}}
    reach = where(
        known("low", "high"),
        {
            "mark": silent("rule", strokeWidth=2),
            "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": VERDICT},
        },
    )
    dot = {
        "mark": dots(),
        "encoding": {
            "y": y,
            "x": x,
            "color": VERDICT,
            "shape": SHAPE,
            "description": DESCRIPTION,
            "tooltip": shown,
        },
    }
    layers = [
        *([band] if verdicts or origin is not None else []),
        *([] if origin is None else [line]),
        reach,
        dot,
    ]
    return base(width=430, height={"step": ROW}, layer=layers)


def points(x_title: str, y_title: str, *, log_x: bool = False, shapes: bool = False) -> Spec:
    """Points of two measures; how far each reaches is drawn under the pointer, that of the references always.

    Rows: label, x, x_low, x_high, y, y_low, y_high, verdict, role, scope, name, note, and sides (`WIDTHS`).
    The box is what references span. Intervals are there before they are seen, so that no scale jumps.
    """
    scale = {"type": "log", "nice": False} if log_x else {"zero": False}
    ticks = {"tickCount": 5, "format": "~g"} if log_x else {"tickCount": 5}
    x = {"field": "x", "type": "quantitative", "axis": {"title": x_title, **ticks}, "scale": scale}
    y = {
        "field": "y",
        "type": "quantitative",
        "axis": {"title": y_title, "tickCount": 5},
        "scale": {"zero": False},
    }
    seen = {"condition": {"param": "pointed", "empty": False, "value": 1.5}, "value": 0}
    form = (
        {"field": "scope", "type": "nominal", "legend": {"title": "layer scope", "orient": "top"}}
        if shapes
        else SHAPE
    )
    spans = [f"{axis}_{end}" for axis in "xy" for end in ("low", "high")]
    box = {
        "transform": [
            {"filter": "datum.role == 'reference' || datum.role == 'noise_floor'"},
            {
                "aggregate": [
                    {"op": op, "field": field, "as": field}
                    for op, field in zip(("min", "max", "min", "max"), spans, strict=True)
                ]
            },
            {"filter": known(*spans)},
        ],
        "mark": silent("rect", color="@band", clip=True),
        "encoding": {
            "x": {**x, "field": "x_low"},
            "x2": {"field": "x_high"},
            "y": {**y, "field": "y_low"},
            "y2": {"field": "y_high"},
        },
    }
    shown = tooltip(
        ("label", "model"), ("#x", x_title), ("#x_low", "from"), ("#x_high", "to"), ("#y", y_title), ("#y_low", "from"),
        ("#y_high", "to"), ("note", ""),
    )  # fmt: skip
    layers = [
        box,
        where(
            known("x_low", "x_high"),
            {
                "mark": silent("rule", color="@pick"),
                "encoding": {
                    "x": {**x, "field": "x_low"},
                    "x2": {"field": "x_high"},
                    "y": y,
                    "strokeWidth": seen,
                },
            },
        ),
        where(
            known("y_low", "y_high"),
            {
                "mark": silent("rule", color="@pick"),
                "encoding": {
                    "y": {**y, "field": "y_low"},
                    "y2": {"field": "y_high"},
                    "x": x,
                    "strokeWidth": seen,
                },
            },
        ),
        {
            "params": [
                {"name": "pointed", "select": {"type": "point", "on": "pointerover", "clear": "pointerout"}}
            ],
            "mark": dots(100),
            "encoding": {
                "x": x,
                "y": y,
                "color": VERDICT,
                "shape": form,
                "description": DESCRIPTION,
                "tooltip": shown,
            },
        },
        *(
            where(
                f"{SIDE} == '{side}'",
                {
                    "mark": silent("text", align=align, dx=dx, fontSize=11, limit=LONGEST),
                    "encoding": {"x": x, "y": y, "text": {"field": "name"}},
                },
            )
            for side, align, dx in (("right", "left", BESIDE), ("left", "right", -BESIDE))
        ),
    ]
    return base(width=700, height=360, layer=layers)


def exposure(*, log: bool = False) -> Spec:
    """One dot an example, a row for each model.

    Rows: label, order, value, swarm (in [-1, 1]), told, example, class, cut, image. `log`: symmetric about 0.
    """
    scale = {"scale": {"type": "symlog", "constant": 1}} if log else {"scale": {"zero": False}}
    ticks = {"values": [-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20], "format": "d"} if log else {"tickCount": 6}
    x = {
        "field": "value",
        "type": "quantitative",
        "axis": {"title": "exposure (right: still remembered)", **ticks},
        **scale,
    }
    y = rows_by("label") | {"axis": {"title": None, "grid": True}}
    offset = {"field": "swarm", "type": "quantitative", "scale": {"domain": [-1.15, 1.15]}}
    cut = {
        "transform": [
            {"aggregate": [{"op": "max", "field": "cut", "as": "cut"}]},
            {"filter": known("cut")},
            {"calculate": "[-datum.cut, datum.cut]", "as": "cut"},
            {"flatten": ["cut"]},
        ],
        "mark": silent("rule", color="@muted", strokeDash=[4, 3]),
        "encoding": {"x": quantity("cut")},
    }
    shown = [
        {"field": "image", "type": "nominal"},
        *tooltip(("name", "example"), ("label", "model"), ("#value", "exposure")),
    ]
    dot = {
        "mark": {"type": "circle", "size": 34, "opacity": 1, "cursor": "pointer"},
        "encoding": {
            "y": y,
            "yOffset": offset,
            "x": x,
            "color": {"condition": {"test": "datum.told", "value": "@apart"}, "value": "@dot"},
            "description": {"field": "name", "type": "nominal"},
            "tooltip": shown,
        },
    }
    return base(width=960, height={"step": 40}, layer=[cut, dot])
