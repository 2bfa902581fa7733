"""A Ctrl-C that comes while DuckDB works."""

import contextlib
from collections.abc import Iterator

import duckdb


@contextlib.contextmanager
def passing_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt where DuckDB makes an error of its own of one.

    It does while it runs a statement, and while it asks Python for the rows of a table.
    """
    try:
        yield
    except (RuntimeError, duckdb.Error) as error:
        if str(error) == "Query interrupted" or "failed: KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from error
        raise
