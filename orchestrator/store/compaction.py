"""Many small files of a table made one, and keys taken out of such a file again.

A kill at any point leaves every key readable once: until the merged file has its name nothing has changed,
and from then on it does not matter how many of the small files are still to be removed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.store import layout
from orchestrator.store.arrow_files import ArrowFiles
from orchestrator.store.paths import COMPACTED
from orchestrator.store.schema import Table


def compact(arrow_files: ArrowFiles, table: Table, at_least: int) -> int:
    """Merge the small files of a table's finished keys; return how many were merged.

    Failed keys keep their own files, since they are the ones that are written again. A file that is written again
    meanwhile keeps its rows: it is not removed, and comes before the merged one.
    """
    files = arrow_files.files
    snapshot = layout.snapshot(arrow_files, table)
    few = max(at_least, 1)
    if len(snapshot.singles) < few and len(snapshot.parts) < 2:
        return 0
    # The stamps come first: a file that is written again after its stamp was taken is seen to differ.
    stamps = arrow_files.each(files.stamp, [entry.file for entry in snapshot.singles])
    loaded = arrow_files.each(lambda entry: arrow_files.load_whole(table, entry.file), snapshot.singles)
    merged = [
        (entry, stamp, arrow)
        for entry, stamp, arrow in zip(snapshot.singles, stamps, loaded, strict=True)
        if not layout.failed(arrow)
    ]
    if len(merged) < few and len(snapshot.parts) < 2:
        return 0
    pieces = [layout.served(arrow_files, table, part) for part in snapshot.parts if part.serves]
    pieces += [arrow for _, _, arrow in merged]
    keys = {entry.key for entry, _, _ in merged}.union(*(part.serves for part in snapshot.parts))
    publish(arrow_files, table, pa.concat_tables(pieces), keys)

    def remove_unchanged(known: tuple[str, tuple[int, ...] | None]) -> None:
        file, stamp = known
        if files.stamp(file) == stamp:
            files.remove(file)

    arrow_files.each(files.remove, [part.file for part in snapshot.parts])
    arrow_files.each(remove_unchanged, [(entry.file, stamp) for entry, stamp, _ in merged])
    return len(merged)


def drop(arrow_files: ArrowFiles, table: Table, unwanted: frozenset[str]) -> None:
    """Take keys out of the compacted files of a table."""
    for name, keys in layout.compacted(arrow_files, table).items():
        if keys & unwanted:
            if rest := keys - unwanted:
                arrow = arrow_files.load_whole(table, name)
                kept = pc.is_in(arrow[table.key], pa.array(sorted(rest), pa.string()))
                publish(arrow_files, table, arrow.filter(kept), rest)
            arrow_files.files.remove(name)


def publish(arrow_files: ArrowFiles, table: Table, arrow: pa.Table, keys: Iterable[str]) -> None:
    """Write a compacted file and return when it is durable."""
    metadata = {**(table.file_schema.metadata or {}), b"keys": "\n".join(sorted(keys)).encode()}
    directory = f"{table.name}/{COMPACTED}"
    name = f"{directory}/{secrets.token_hex(16)}.arrow"
    # One chunk, else every small file stays a batch of its own.
    arrow_files.write(name, arrow.combine_chunks().replace_schema_metadata(metadata))
    arrow_files.files.settle(directory)
