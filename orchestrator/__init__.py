"""Plans, runs, stores and queries audits; the only package that imports Ray."""

from typing import TYPE_CHECKING, Any

from tasks.runtime.environment import remove_kernel_choices

if TYPE_CHECKING:
    from orchestrator.audit.api import run

__all__ = ["run"]

remove_kernel_choices()  # before NumPy and torch are loaded, which read it


def __getattr__(name: str) -> Any:
    """`run`, which is imported when it is asked for."""
    if name == "run":
        from orchestrator.audit.api import run

        return run
    raise AttributeError(f"module 'orchestrator' has no attribute '{name}'")
