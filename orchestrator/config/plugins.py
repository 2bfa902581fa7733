"""Code of the user's: which modules a command imports, and what to do where results need more.

Trust boundary: a module is imported because the user's own configuration or `--plugins` names it, never because
results do, which may be somebody else's.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence

from tasks.errors import AuditError, UnknownName
from tasks.registry import import_plugins


def load_plugins(modules: Sequence[str], *, named_by: str) -> None:
    """Import modules of the user's, and say so on stderr before they run.

    Args:
        modules: as `import` takes them.
        named_by: the file or flag that names them.

    Raises:
        AuditError: a module cannot be found or fails to import.
    """
    for module in modules:
        sys.stderr.write(f"importing the plug-in {module!r} that {named_by} names\n")
        import_plugins((module,))


@contextlib.contextmanager
def without_code_of(results: str, named: Sequence[str]) -> Iterator[None]:
    """Do without the plug-ins that results name; where a name of theirs is needed, say how to allow it.

    Args:
        results: where the results lie.
        named: modules in their recorded configuration.

    Raises:
        AuditError: a name in the block is known to nobody, and results name plug-ins that were not imported.
    """
    try:
        yield
    except UnknownName as error:
        absent = [module for module in named if module not in sys.modules]
        if not absent:
            raise
        raise AuditError(
            f"{error}; {results} names plug-ins, whose code runs only where you ask for it: "
            f"--plugins {' '.join(absent)}"
        ) from None
