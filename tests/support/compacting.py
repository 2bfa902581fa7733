"""A compaction at the worst moment: right after a reader has listed the files of a table."""

from __future__ import annotations

import pytest

from orchestrator.store import layout
from orchestrator.store.arrow_files import ArrowFiles
from orchestrator.store.schema import Table
from orchestrator.store.store import Store


def compacting_after(reader: Store, writer: Store, calls: list[str], patch: pytest.MonkeyPatch) -> None:
    """Has the writer compact once, right after the reader has listed a table for the first time.

    Args:
        reader: whose listings are appended to `calls`, by name of the table.
        writer: of the same results.
        calls: filled.
        patch: of the test.
    """
    real = layout.snapshot

    def then_compacted(arrow_files: ArrowFiles, table: Table) -> layout.Snapshot:
        found = real(arrow_files, table)
        if arrow_files is reader.arrow_files:
            calls.append(table.name)
            if len(calls) == 1:
                writer.compact()
        return found

    patch.setattr(layout, "snapshot", then_compacted)
