"""SQL that only charts, report and certificate ask: the files of orchestrator/results/queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from orchestrator.results.connection import Results

FOLDER = Path(__file__).with_name("queries")


def ask(results: Results, name: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of one of them."""
    rows: list[dict[str, Any]] = ask_table(results, name, **params).to_pylist()
    return rows


def ask_table(results: Results, name: str, **params: Any) -> pa.Table:
    """The answer to one of them."""
    return results.query(str(FOLDER / f"{name}.sql"), **params)
