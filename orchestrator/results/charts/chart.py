"""A chart of some rows: a specification to look at in a notebook, and vector figures for a paper."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from orchestrator.results.charts.answers import Answers, Row
from orchestrator.results.charts.colours import GREY, PAPER, SLIDES, Spec, paint
from orchestrator.results.charts.drawable import drawable
from orchestrator.results.charts.kinds import Kind, kind_of
from orchestrator.results.charts.parts import ROWS
from orchestrator.results.evidence import PLACE, slug
from tasks.errors import AuditError, unknown_name

FONT = "Liberation Sans"
"""Carried by vl-convert, so that a figure looks the same everywhere."""
STYLES: Mapping[str, Mapping[str, str]] = {"paper": PAPER, "grey": GREY, "slides": SLIDES}
"""Colours of figures by name of the style."""
BACKGROUNDS = {"slides": "#14161a"}
PIXELS, POINTS = 96, 72
"""Of an inch: in SVG, and in PDF."""
VEGA_LITE = "6.4"
"""The version of Vega-Lite that specifications are compiled by."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One drawing: rows of one place and one value of each choice. A notebook shows it as it is."""

    kind: Kind
    rows: Sequence[Row]
    place: Mapping[str, str]
    """Data set, architecture and forget set; without the forget set where it is over all of them."""
    chosen: Mapping[str, str]
    """The value of each choice."""

    @property
    def title(self) -> str:
        """What it shows of what, in one line."""
        return ", ".join([self.kind.title, *list(self.place.values())[1:], *self.chosen.values()])

    @property
    def name(self) -> str:
        """The chart in a file name."""
        return slug(" ".join([self.kind.name, *list(self.place.values())[1:], *self.chosen.values()]))

    def spec(self, style: str = "paper", width: float | None = None) -> Spec:
        """The specification of Vega-Lite with its data.

        Args:
            style: a name of `STYLES`.
            width: of the whole drawing, inches; None leaves it as it is on a page.

        Raises:
            AuditError: there is no such style.
        """
        if style not in STYLES:
            raise unknown_name("style", style, STYLES)
        made = paint((self.kind.on_paper or self.kind.spec)(), STYLES[style])
        made["config"] |= {"background": BACKGROUNDS.get(style, "white"), "font": FONT}
        for part in ("axis", "legend", "header", "title"):
            made["config"][part] |= {"labelFont": FONT, "titleFont": FONT}
        made["config"]["title"] |= {"font": FONT}
        made["datasets"] = {ROWS: self.kind.facets(self.rows)}
        return _fitted(made, width) if width else made

    @cached_property
    def _svg(self) -> str:
        return compiled(self.spec() | {"title": self.title})

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """What a notebook shows: the drawing, or where it cannot, the title."""
        return {"image/svg+xml": self._svg, "text/plain": repr(self)}

    def _repr_svg_(self) -> str:
        return self._svg

    def __repr__(self) -> str:
        return f"<chart {self.title}: {len(self.rows)} rows>"

    def figure(self, style: str = "paper", width: float | None = None) -> tuple[str, bytes]:
        """SVG and PDF."""
        import vl_convert

        svg = _in_points(compiled(self.spec(style, width)))
        return svg, vl_convert.svg_to_pdf(svg)

    def table(self) -> str:
        """The rows as CSV, with the columns in the order of the first."""
        sink = io.StringIO()
        writer = csv.DictWriter(sink, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return sink.getvalue()


def compiled(spec: Spec) -> str:
    """A specification with its data as SVG."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE))


def _in_points(svg: str) -> str:
    """The drawing at its size in print: a PDF takes a unit for a point."""
    root, rest = svg.split(">", 1)
    sized = re.sub(
        r'\b(width|height)="([\d.]+)"', lambda m: f'{m[1]}="{float(m[2]) * POINTS / PIXELS:g}"', root
    )
    return f"{sized}>{rest}"


def _fitted(spec: Spec, inches: float) -> Spec:
    """The specification at a width; panels share it."""
    pixels = inches * PIXELS
    if "facet" in spec:
        spec["columns"] = max(1, min(spec["columns"], int(pixels // 130)))
        spec["spec"]["width"] = max(60, pixels / spec["columns"] - 48)
        return spec
    return spec | {"width": pixels, "autosize": {"type": "fit-x", "contains": "padding"}}


def charts(kind: Kind, rows: Sequence[Row]) -> list[Chart]:
    """One chart for each place and each value of the choices, in the order of the rows.

    A row whose value of a choice is None belongs to each of them: controls have no scope. Rows that stand at no finite
    number are in none.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    rows = drawable(rows)
    for row in rows:
        if all(row[name] is not None for name in kind.choices):
            groups.setdefault(tuple(row[name] for name in (*PLACE, *kind.choices)), [])
    for row in rows:
        for key, found in groups.items():
            if all(row[n] in (value, None) for n, value in zip((*PLACE, *kind.choices), key, strict=True)):
                found.append(row)
    return [
        Chart(
            kind=kind,
            rows=found,
            place={name: value for name, value in zip(PLACE, key, strict=False) if value is not None},
            chosen=dict(zip(kind.choices, key[len(PLACE) :], strict=True)),
        )
        for key, found in groups.items()
    ]


def chart(answers: Answers, name: str, **chosen: str) -> Chart:
    """One chart by name.

    Args:
        answers: of the results.
        name: of the chart, as `KINDS` has it.
        chosen: values of `dataset`, `architecture`, `forget_set` and of the chart's choices; what is left out takes the
            first value that there is.

    Raises:
        AuditError: there is no such chart, choice or value, or nothing to draw.
    """
    kind = kind_of(name)
    known = (*PLACE, *kind.choices)
    found = charts(kind, kind.rows(answers))
    if not found:
        raise AuditError(f"chart {name}: nothing to draw: {kind.missing}")
    for key, value in chosen.items():
        if key not in known:
            raise unknown_name("choice", key, known, where=f"chart {name}")
        values = list(dict.fromkeys(_value(one, key) for one in found))
        found = [one for one in found if _value(one, key) in (value, None)]
        if not found:
            raise unknown_name(key, value, [v for v in values if v], where=f"chart {name}")
    return found[0]


def _value(one: Chart, key: str) -> str | None:
    return one.chosen.get(key, one.place.get(key))
