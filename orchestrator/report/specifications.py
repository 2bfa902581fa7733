"""Specifications of charts as Vega draws them in a page. Those of the charts ship, for compiling takes half a second.

A specification of Vega-Lite holds no results: the page gives it its rows. The file `assets/charts.json` has what each
was compiled to by the digest of what it was compiled from, so that one that was edited since is compiled anew.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping

from orchestrator.report.templates import ASSETS
from orchestrator.results.charts.chart import VEGA_LITE
from orchestrator.results.charts.colours import PAGE, Spec, paint

SHIPPED = ASSETS / "charts.json"


def compiled(spec: Spec) -> Spec:
    """The specification of a chart as Vega draws it in a page, at the width that it is given."""
    painted = for_page(spec)
    return shipped().get(digest(painted)) or vega(painted)


def for_page(spec: Spec) -> Spec:
    """The specification of a chart in the colours of a page and as wide as its place there."""
    return paint(spec, PAGE) | {"autosize": {"type": "fit-x", "contains": "padding"}}


def vega(painted: Spec) -> Spec:
    """A specification of Vega-Lite compiled to one of Vega."""
    import vl_convert

    made: Spec = vl_convert.vegalite_to_vega(painted, vl_version=VEGA_LITE)
    return made


def digest(painted: Spec) -> str:
    """Of a specification and of the version of Vega-Lite that compiles it."""
    return hashlib.sha256(f"{VEGA_LITE} {json.dumps(painted, sort_keys=True)}".encode()).hexdigest()[:20]


@functools.cache
def shipped() -> Mapping[str, Spec]:
    """Specifications of Vega by the digest of what they come from; none where the file is absent or no such file."""
    try:
        found: Mapping[str, Spec] = json.loads(SHIPPED.read_bytes())["specifications"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # a page then takes longer, and is the same
        return {}
    return found
