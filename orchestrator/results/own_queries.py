"""SQL that only charts, report and certificate ask: the files of orchestrator/results/queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

FOLDER = Path(__file__).with_name("queries")


def ask(results: Results, name: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of one of them."""
    rows: list[dict[str, Any]] = results.query(str(FOLDER / f"{name}.sql"), **params).to_pylist()
    return rows
