"""SQL over the results of an audit, which are only read."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.results.connection import Results

__all__ = ["Results"]


def __getattr__(name: str) -> Any:
    """`Results`, when it is asked for: it imports duckdb, and a module of this room may do without."""
    if name != "Results":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.results.connection import Results

    return Results
