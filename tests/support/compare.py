"""Compare the tables of two results directories: `python -m tests.support.compare OLD NEW`.

For code that is changed without a change of its numbers. A reference is made by the unchanged code:

    for preset in quick ulira; do python -m orchestrator.sweep $preset --out reference/$preset; done

Rows are matched by their axes, so identities may differ, and neither side needs the code that wrote it. Exit code 0:
no difference; 1: some; 2: bad input.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import AuditError
from tests.support.differing import differing
from tests.support.result_files import inner_results, read_tables


class _Parser(argparse.ArgumentParser):
    """Raises in place of printing the usage."""

    def error(self, message: str) -> NoReturn:
        raise AuditError(f"{message}; see python -m tests.support.compare --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what distinguishes two results directories; the exit code."""
    try:
        options = _parser().parse_args(arguments)
        if options.tolerance < 0:
            raise AuditError(f"--tolerance: expected 0 or more, got {options.tolerance:g}")
        count = _compare(options)
    except AuditError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    _say(f"{count} differences")
    return 1 if count else 0


def _parser() -> _Parser:
    parser = _Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("old", metavar="OLD", type=Path, help="results directory of the unchanged code")
    parser.add_argument("new", metavar="NEW", type=Path, help="results directory of the changed code")
    parser.add_argument(
        "--renamed",
        metavar="OLD=NEW",
        action="append",
        default=[],
        help="a column, table.column=column, or a table, table=table, that has a new name; * is any table",
    )
    parser.add_argument(
        "--renamed-value",
        metavar="COLUMN=OLD:NEW",
        action="append",
        default=[],
        help="a text of table.column that is another now, also in front of a colon (OLD:more); * is any table",
    )
    parser.add_argument(
        "--ignore",
        metavar="COLUMN",
        action="append",
        default=[],
        help="a column, table.column, or a table to leave out, also among the axes; * is any name",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="relative difference of equal floats; for results under label smoothing alone (default: 0)",
    )
    return parser


def _compare(options: argparse.Namespace) -> int:
    """Compare and print; the number of differences."""
    pairs = [(options.old, options.new)]
    inner = [inner_results(root) for root in pairs[0]]
    pairs += [(options.old / name, options.new / name) for name in sorted(inner[0] | inner[1])]
    loaded = [(read_tables(old), _renamed(read_tables(new), options.renamed)) for old, new in pairs]
    _check(options, loaded)
    values = [_renamed_value(text) for text in options.renamed_value]
    loaded = [
        (old, {name: _old_values(name, rows, values) for name, rows in new.items()}) for old, new in loaded
    ]
    count = 0
    for (old, _), (before, after) in zip(pairs, loaded, strict=True):
        if old != options.old:
            _say(f"{old.name}/")
        for table in differing(
            *_with_weights(before, after), ignore=options.ignore, tolerance=options.tolerance
        ):
            _say("\n".join(table.lines()))
            count += table.count
    return count


def _with_weights(old: dict[str, pa.Table], new: dict[str, pa.Table]) -> tuple[dict[str, pa.Table], ...]:
    """Both sides without `weights` unless both hold some: a reference need not keep its large files."""
    if "weights" in old and "weights" in new:
        return old, new
    if "weights" in old or "weights" in new:
        _say("weights: files on one side alone, not compared")
    return tuple({name: rows for name, rows in side.items() if name != "weights"} for side in (old, new))


def _renamed(tables: dict[str, pa.Table], renames: Sequence[str]) -> dict[str, pa.Table]:
    """Tables of the changed code under the old names."""
    names = [_rename(text) for text in renames]
    for table, column, new in names:
        if not column:
            tables = {table if name == new else name: rows for name, rows in tables.items()}
    return {name: _rename_columns(name, rows, names) for name, rows in tables.items()}


def _rename_columns(name: str, rows: pa.Table, names: Sequence[tuple[str, str, str]]) -> pa.Table:
    by_new = {new: column for table, column, new in names if column and fnmatchcase(name, table)}
    return rows.rename_columns([by_new.get(column, column) for column in rows.column_names])


def _rename(text: str) -> tuple[str, str, str]:
    """Table, column or nothing, and the new name."""
    old, _, new = text.partition("=")
    table, _, column = old.partition(".")
    new = new.removeprefix(f"{table}.")
    if not table or not new or "." in new:
        raise AuditError(f"--renamed: expected table.column=column or table=table, got '{text}'")
    return table, column, new


def _renamed_value(text: str) -> tuple[str, str, str, str]:
    """Table, column, old and new text."""
    place, _, texts = text.partition("=")
    table, _, column = place.partition(".")
    old, _, new = texts.partition(":")
    if not (table and column and old and new):
        raise AuditError(f"--renamed-value: expected table.column=old:new, got '{text}'")
    return table, column, old, new


def _old_values(name: str, rows: pa.Table, values: Sequence[tuple[str, str, str, str]]) -> pa.Table:
    """A table of the changed code with its old texts."""
    for table, column, old, new in values:
        if fnmatchcase(name, table) and column in rows.column_names:
            place = rows.schema.get_field_index(column)
            told = pc.replace_substring_regex(
                rows[column].cast(pa.string()), pattern=f"^{re.escape(new)}(:|$)", replacement=f"{old}\\1"
            )
            rows = rows.set_column(place, rows.schema.field(place), told.cast(rows.schema.field(place).type))
    return rows


def _check(
    options: argparse.Namespace, loaded: Sequence[tuple[Mapping[str, pa.Table], Mapping[str, pa.Table]]]
) -> None:
    """Refuse options that name nothing: they would hide a slip of the pen."""
    tables = [item for sides in loaded for side in sides for item in side.items()]
    known = {name for name, _ in tables} | {f"{name}.{c}" for name, rows in tables for c in rows.column_names}
    patterns = {("--ignore", pattern) for pattern in options.ignore}
    for text in options.renamed:
        table, column, _ = _rename(text)
        patterns.add(("--renamed", f"{table}.{column}" if column else table))
    for text in options.renamed_value:
        patterns.add(("--renamed-value", ".".join(_renamed_value(text)[:2])))
    for flag, pattern in sorted(patterns):
        if not any(fnmatchcase(name, pattern) for name in known):
            raise AuditError(f"{flag}: expected a table or table.column of the results, found no '{pattern}'")


def _say(text: str) -> None:
    print(text)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
