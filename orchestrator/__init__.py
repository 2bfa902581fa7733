"""Plans, runs, stores and queries audits; the only package that imports Ray."""

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

_command = sys.argv[:1] == ["-m"]
"""Whether this is `python -m`, whose errors are one line."""


def _refuse(told: str) -> None:
    if _command:
        sys.stderr.write(f"error: {told}\n")
        raise SystemExit(2)
    raise ImportError(told)


_own = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tasks", "__init__.py")
_found = find_spec("tasks")
_origin = _found.origin if _found else None
if _origin is None or not os.path.samefile(_origin, _own):
    _refuse(
        f"{_origin or 'a folder'} hides Lethe's package 'tasks'; rename it, or run from another directory"
    )

from tasks.runtime.environment import remove_kernel_choices  # noqa: E402
from tasks.runtime.hidden import hiding_package, say_what_hides  # noqa: E402

if _command:
    say_what_hides()
    if _told := hiding_package(sys.path[0]):
        _refuse(_told)

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
