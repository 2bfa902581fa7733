"""Plans, runs, stores and queries audits; the only package that imports Ray."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

_own, _found = Path(__file__).parents[1] / "tasks" / "__init__.py", find_spec("tasks")
_origin = _found.origin if _found else None
if _origin is None or not os.path.samefile(_origin, _own):
    _told = f"{_origin or 'a folder'} hides Lethe's package 'tasks'; rename it, or run from another directory"
    if sys.argv[:1] == ["-m"]:  # as a command, whose errors are one line
        sys.stderr.write(f"error: {_told}\n")
        raise SystemExit(2)
    raise ImportError(_told)

from tasks.runtime.environment import remove_kernel_choices  # noqa: E402

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
