"""Pieces of specifications: what every chart begins with, scales of verdicts, tooltips, axes.

A dot that can be pointed at carries a description; all else is kept from screen readers (`aria`), for whom tables
hold the same numbers. There is no opacity (a PDF grows a hundredfold) and no search for the nearest dot (its cells
swallow clicks).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.results.charts.colours import SHAPES, TONES, Spec

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
ROWS = "rows"
"""Name of the data of every specification."""
ROW = 19
"""Pixels of a row."""


def base(**more: Any) -> Spec:
    """The frame of a chart."""
    axis = {
        "labelColor": "@ink",
        "titleColor": "@muted",
        "gridColor": "@grid",
        "tickColor": "@muted",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 215,
        "domain": False,
        "tickSize": 3,
    }
    config = {
        "background": None,
        "view": {"stroke": None},
        "axis": axis,
        # On a narrow screen a title is wider than what it stands below, and has room to the left alone.
        "axisX": {"titleAnchor": "end"},
        "text": {"fill": "@ink"},
        "title": {"color": "@ink", "subtitleColor": "@muted", "anchor": "start", "fontSize": 13},
        "header": {"labelColor": "@ink", "labelFontWeight": "bold", "labelLimit": 190},
        "legend": {"labelColor": "@ink", "titleColor": "@muted"},
    }
    return {"$schema": SCHEMA, "padding": 4, "data": {"name": ROWS}, "config": config, **more}


def silent(kind: str, **look: Any) -> Spec:
    """A mark that is drawn and not read out."""
    return {"type": kind, "aria": False, **look}


def dots(size: int = 70, **look: Any) -> Spec:
    """A mark that can be pointed at and clicked."""
    return {"type": "point", "filled": True, "size": size, "opacity": 1, "cursor": "pointer", **look}


def quantity(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel of numbers; without a title it shares the axis of another layer."""
    axis = {} if title is None else {"axis": {"title": title, "tickCount": 5}}
    return {"field": field, "type": "quantitative", **axis, **more}


def rows_by(field: str) -> Spec:
    """Rows from the top in the order of the data."""
    return {
        "field": field,
        "type": "nominal",
        "sort": {"field": "order"},
        "axis": {"title": None, "grid": False},
    }


VERDICT: Spec = {
    "field": "verdict",
    "type": "nominal",
    "legend": None,
    "scale": {
        "domain": [*TONES],
        "range": [f"@{token}" for token in TONES.values()],
    },
}
"""Colour by verdict."""
SHAPE: Spec = VERDICT | {"scale": {"domain": [*SHAPES], "range": [*SHAPES.values()]}}
"""Shape by verdict."""
DESCRIPTION: Spec = {"field": "label", "type": "nominal"}
"""What a screen reader says of a dot."""


def tooltip(*fields: tuple[str, str]) -> list[Spec]:
    """What is shown under the pointer: field and title; numbers have three decimals."""
    return [
        {"field": field.lstrip("#"), "title": title}
        | ({"type": "quantitative", "format": ".3f"} if field.startswith("#") else {"type": "nominal"})
        for field, title in fields
    ]


def where(test: str, layer: Spec) -> Spec:
    """A layer of the rows that pass a test."""
    return {"transform": [{"filter": test}], **layer}


def known(*fields: str) -> str:
    """The test that these fields are not null."""
    return " && ".join(f"isValid(datum.{field})" for field in fields)


def facetted(spec: Spec, *, columns: int, size: tuple[int, int]) -> Spec:
    """One panel for each value of `panel`, in the order of the data: for paper, which cannot wrap by itself."""
    width, height = size
    layers: Sequence[Spec] = spec["layer"]
    rest = {k: v for k, v in spec.items() if k not in ("layer", "width", "height", "params")}
    facet = {"field": "panel", "type": "nominal", "title": None, "sort": {"field": "panel_order"}}
    return rest | {
        "facet": facet,
        "columns": columns,
        "spec": {"width": width, "height": height, "layer": [*layers]},
    }
