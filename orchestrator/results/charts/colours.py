"""Colours by what they mean. A specification names them as `@token`; each target resolves the tokens in its own way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from orchestrator.results.evidence import APART, EQUIVALENT, UNDECIDED

Spec = dict[str, Any]
"""A specification of Vega-Lite."""
TOKENS = (
    "ink",
    "muted",
    "grid",
    "faint",
    "band",
    "dot",
    "pick",
    "apart",
    "equivalent",
    "undecided",
    "control",
)
PAGE = {token: f"var(--{token})" for token in TOKENS}
"""Of a page, whose style sheet knows light, dark and print."""
PAPER = {
    "ink": "#16181d",
    "muted": "#555d69",
    "grid": "#e3e6ea",
    "faint": "#c3c9d1",
    "band": "#eceff4",
    "dot": "#9aa5b4",
    "pick": "#1f5fbf",
    "apart": "#b3410e",
    "equivalent": "#0b6e4f",
    "undecided": "#5a5fa8",
    "control": "#16181d",
}
SLIDES = {
    "ink": "#eceef2",
    "muted": "#aab3c0",
    "grid": "#363c47",
    "faint": "#505866",
    "band": "#272d38",
    "dot": "#7f8b9c",
    "pick": "#7fb2ff",
    "apart": "#ff9460",
    "equivalent": "#4fd0a5",
    "undecided": "#a9adf0",
    "control": "#eceef2",
}
GREY = PAPER | {
    "pick": "#16181d",
    "apart": "#16181d",
    "equivalent": "#7a7a7a",
    "undecided": "#a6a6a6",
    "dot": "#b5b5b5",
    "muted": "#5c5c5c",
    "grid": "#e5e5e5",
    "faint": "#cccccc",
    "band": "#efefef",
}
"""For papers that are printed in black: shapes say what colours say elsewhere."""
VERDICTS = {APART: "apart", EQUIVALENT: "equivalent", UNDECIDED: "undecided"}
"""The token of each verdict."""
MEASURED = "measured"
"""In place of a verdict, of an audited model where none is given."""
TONES = VERDICTS | {MEASURED: "pick", "": "control"}
"""The token of whatever stands in the column `verdict`; empty: a control."""
SHAPES = {APART: "circle", EQUIVALENT: "square", UNDECIDED: "diamond", MEASURED: "circle", "": "cross"}
"""The shape of each."""


def unjudged(role: str) -> str:
    """What stands in the column `verdict` of a chart that gives none."""
    return MEASURED if role == "audited" else ""


def paint(spec: Mapping[str, Any], colours: Mapping[str, str]) -> Spec:
    """The specification with its tokens resolved."""
    text = json.dumps(spec)
    for token, colour in colours.items():
        text = text.replace(f'"@{token}"', json.dumps(colour))
    return cast(Spec, json.loads(text))
