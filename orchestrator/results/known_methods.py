"""The registered unlearning methods as a table that queries can join. Imports no torch."""

from __future__ import annotations

import pyarrow as pa

from tasks.unlearn.base import Method, methods

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("summary", pa.string()),
        ("paper", pa.string()),
        ("passes", pa.string()),
        ("needs_retain", pa.bool_()),
        ("needs_validation", pa.bool_()),
        ("second_model", pa.string()),
        ("searched", pa.string()),
    ]
)


def known_methods() -> pa.Table:
    """One row per registered method: what its class says of it."""
    rows = [_row(name, methods.get(name)) for name in methods.names()]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(name: str, cls: type[Method]) -> dict[str, object]:
    return {
        "method": name,
        "summary": (cls.__doc__ or "").strip().split("\n")[0],
        "paper": getattr(cls, "paper", ""),
        "passes": getattr(cls, "passes", ""),
        "needs_retain": getattr(cls, "needs_retain", None),  # a plug-in may not say
        "needs_validation": getattr(cls, "needs_validation", False),
        "second_model": getattr(cls, "second_model", ""),
        "searched": ", ".join(sorted(getattr(cls, "search", {}))),
    }
