"""What every registered attack declares of its metrics, as a table that queries can join. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tasks.attacks.base import attacks
from tasks.metrics.base import Metric, Reading
from tasks.metrics.catalogue import CATALOGUE

SCHEMA = pa.schema(
    [
        ("metric", pa.string()),
        ("reading", pa.string()),  # the split or game that a row is about; empty: all others
        ("kind", pa.string()),
        ("higher_is", pa.string()),
        ("error", pa.string()),
        ("no_interval", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("margin", pa.float64()),  # unless a run declares another (`declared`)
        ("margin_because", pa.string()),
        ("compares", pa.bool_()),  # with the retrained model, which has no value of its own
        ("about", pa.string()),
    ]
)


def metric_declarations() -> pa.Table:
    """One row per metric, and one more for each split or game in which it is read another way."""
    declared = dict(CATALOGUE)
    for name in attacks.names():
        declared |= {metric.name: metric for metric in attacks.get(name).metrics}
    rows = [row for name in sorted(declared) for row in _rows(declared[name])]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _rows(metric: Metric) -> Iterator[dict[str, object]]:
    usual = Reading(metric.kind, metric.higher_is, metric.error)
    for key, reading in {"": usual, **metric.instead}.items():
        yield {
            "metric": metric.name,
            "reading": key,
            **reading._asdict(),
            "no_interval": metric.no_interval if reading.error == "none" else "",
            "low": metric.low,
            "high": metric.high,
            "margin": metric.margin,
            "margin_because": metric.margin_because,
            "compares": metric.compares,
            "about": metric.about,
        }
