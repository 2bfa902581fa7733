"""Plans, runs, stores and queries audits; the only package that imports Ray."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.audit.api import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    """`run`, which is imported when it is asked for."""
    if name == "run":
        from orchestrator.audit.api import run

        return run
    raise AttributeError(f"module 'orchestrator' has no attribute '{name}'")
