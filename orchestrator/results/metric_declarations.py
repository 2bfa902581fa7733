"""What each metric of the catalogue declares, as a table that queries can join. Imports no torch."""

from __future__ import annotations

import pyarrow as pa

from tasks.metrics.base import Metric, Reading
from tasks.metrics.catalogue import CATALOGUE

SCHEMA = pa.schema(
    [
        ("metric", pa.string()),
        ("place", pa.string()),
        ("kind", pa.string()),
        ("higher_is", pa.string()),
        ("error", pa.string()),
        ("about", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("margin", pa.float64()),
        ("margin_because", pa.string()),
    ]
)


def metric_declarations() -> pa.Table:
    """A row for each metric, and one for each split or game (`place`) where it is read otherwise."""
    rows = [
        _row(metric, place, reading)
        for metric in CATALOGUE.values()
        for place, reading in ((None, metric.reading("")), *metric.instead.items())
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(metric: Metric, place: str | None, reading: Reading) -> dict[str, object]:
    return {
        "metric": metric.name,
        "place": place,
        **reading._asdict(),
        "about": metric.about,
        "low": metric.low,
        "high": metric.high,
        "margin": metric.margin,
        "margin_because": metric.margin_because,
    }
