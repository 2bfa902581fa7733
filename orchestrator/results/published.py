"""Columns of `queries/published.csv`: numbers that papers print, beside which queries put ours."""

from __future__ import annotations

import pyarrow as pa

from orchestrator.store.schema import BOOL, FLOAT64, STRING

PUBLISHED = pa.schema(
    [
        ("row_set", STRING),
        ("paper", STRING),
        ("mark", STRING),
        ("dataset", STRING),
        ("architecture", STRING),
        ("forget_set", STRING),
        ("method", STRING),
        ("attack", STRING),
        ("metric", STRING),
        ("param", FLOAT64),
        ("value", FLOAT64),
        ("spread", FLOAT64),
        ("unit", STRING),
        ("misprint", BOOL),
        ("note", STRING),
    ]
)
"""Numbers that papers print; not results of ours, they ship with the queries."""
