"""SQL over the results of an audit, which are only read."""

from orchestrator.results.connection import Results

__all__ = ["Results"]
