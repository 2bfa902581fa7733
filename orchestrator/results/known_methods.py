"""The registered unlearning methods as a table that queries can join. Imports no torch."""

from __future__ import annotations

import pyarrow as pa

from tasks.fields import class_doc
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
        "summary": class_doc(cls).partition("\n")[0],
        "paper": cls.paper,
        "passes": cls.passes,
        "needs_retain": cls.needs_retain,
        "needs_validation": cls.needs_validation,
        "second_model": cls.second_model,
        "searched": ", ".join(sorted(cls.search)),
    }
