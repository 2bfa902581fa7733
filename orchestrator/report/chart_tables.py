"""The rows of charts as tables: for those who see no drawing, run no script or want the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.report.facts.columns import values_of
from orchestrator.report.facts.drawn import Drawn
from orchestrator.report.templates import number

MOST_ROWS = 40
"""Of a table in a page without a script, which has all charts below each other."""
MOST_FINDINGS = 120
"""The same of the differences that verdicts rest on."""


SMALLEST_P = 0.001
"""Below it a p-value is not spelt out."""


class Heading(NamedTuple):
    """A column of a table: its name, and the column of the chart that it shows, with its interval if there is one."""

    name: str
    shows: str
    low: str = ""
    high: str = ""


MODEL = Heading("model", "label")
HEADINGS: Mapping[str, tuple[Heading, ...]] = {
    "forest": (
        MODEL,
        Heading("measure", "measure"),
        Heading("value", "own"),
        Heading("retrained", "retrained"),
        Heading("difference", "value", "low", "high"),
        Heading("margin", "margin"),
        Heading("p", "p"),
        Heading("verdict", "verdict"),
    ),
    "robustness": (
        MODEL,
        Heading("attack", "attack"),
        Heading("eps", "eps"),
        Heading("robust accuracy", "value", "low", "high"),
    ),
    "fairness": (
        MODEL,
        Heading("attack", "attack"),
        Heading("fairness gap (seeds)", "x", "x_low", "x_high"),
        Heading("robust accuracy (seeds)", "y", "y_low", "y_high"),
    ),
    "layers": (
        Heading("layer", "label"),
        Heading("attack", "attack"),
        Heading("correlation", "value", "low", "high"),
        Heading("note", "note"),
    ),
    "exposure": (
        MODEL,
        Heading("by", "statistic"),
        Heading("example", "example"),
        Heading("exposure", "value"),
        Heading("after retraining", "without"),
        Heading("stands out", "told"),
    ),
    "roc": (MODEL, Heading("false positives", "fpr"), Heading("true positives", "value", "low", "high")),
    "averages": (MODEL, Heading("AUC", "value", "low", "high"), Heading("by", "note")),
    "harm": (
        MODEL,
        Heading("examples", "examples"),
        Heading("harmed", "value", "low", "high"),
        Heading("over", "note"),
    ),
    "retain_harm": (
        MODEL,
        Heading("by", "statistic"),
        Heading("change of AUC", "value", "low", "high"),
        Heading("note", "note"),
    ),
    "order": (
        Heading("model", "panel"),
        Heading("examples", "label"),
        Heading("epoch", "epoch"),
        Heading("confidence", "value", "low", "high"),
    ),
    "stopping": (
        Heading("model", "panel"),
        Heading("examples", "label"),
        Heading("epoch", "epoch"),
        Heading("share", "value"),
    ),
    "seeds": (MODEL, Heading("difference", "value", "low", "high"), Heading("note", "note")),
    "scope": (
        MODEL,
        Heading("cost (seeds)", "x", "x_low", "x_high"),
        Heading("difference", "y", "y_low", "y_high"),
        Heading("verdict", "verdict"),
    ),
    "cost": (
        MODEL,
        Heading("retraining = 1 (seeds)", "value", "low", "high"),
        Heading("seconds", "seconds"),
        Heading("device", "device"),
    ),
}
"""Of the table of each chart, the header of its rows first."""


@dataclass(frozen=True, kw_only=True)
class ChartTable:
    """The first rows of a chart, as text."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    of: int
    """Rows of the chart."""


def chart_table(drawn: Drawn, places: Sequence[str]) -> ChartTable:
    """The first rows of a chart; of the differences those first that a verdict rests on.

    Args:
        drawn: the chart.
        places: their titles; rows say theirs where there are several.
    """
    rows = decoded(drawn)
    if drawn.name == "forest":
        rows.sort(key=lambda row: row["family"] != "primary")
    headings, several = HEADINGS[drawn.name], len(places) > 1
    most = MOST_FINDINGS if drawn.name == "forest" else MOST_ROWS
    return ChartTable(
        headings=(*(heading.name for heading in headings), *(["place"] if several else [])),
        rows=tuple(
            (
                *(_text(row, heading) for heading in headings),
                *([_where(row["place"], places)] if several else []),
            )
            for row in rows[:most]
        ),
        of=drawn.rows,
    )


def decoded(drawn: Drawn) -> list[dict[str, Any]]:
    """The rows of a chart again, from its columns."""
    values = {name: values_of(column, drawn.rows) for name, column in drawn.columns.items()}
    return [{name: values[name][i] for name in values} for i in range(drawn.rows)]


def _where(found: int | list[int], places: Sequence[str]) -> str:
    return places[found] if isinstance(found, int) else ", ".join(places[i] for i in found)


def _text(row: Mapping[str, Any], heading: Heading) -> str:
    value = row.get(heading.shows)
    if heading.shows == "p" and value is not None and value < SMALLEST_P:
        return f"< {SMALLEST_P}"
    text = _written(value)
    low, high = row.get(heading.low), row.get(heading.high)
    return text if low is None or high is None else f"{text} ({number(low)} to {number(high)})"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if value is None or isinstance(value, float):
        return number(value)
    return str(value)
