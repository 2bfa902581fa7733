"""Run every cell of the notebook on the directory `results`: `python -m orchestrator.notebook`."""

from __future__ import annotations

import sys

from orchestrator.errors import Exit, run_command
from tasks.errors import AuditError


def main() -> int:
    """Run the cells.

    Raises:
        AuditError: marimo is not installed, or the results cannot be read.
    """
    try:
        from orchestrator.notebook.notebook import app
    except ModuleNotFoundError as error:
        if error.name != "marimo":
            raise
        raise AuditError("notebook: needs the package marimo: pip install marimo") from error
    app.run()
    return Exit.FINISHED


if __name__ == "__main__":
    sys.exit(run_command(main))
