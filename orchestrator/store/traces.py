"""What in results traces the examples that were to be forgotten, and how it is deleted.

A purge records what it will delete, deletes it, and records that it has: a kill in between leaves a record that the
next one finds and ends.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.store import inventory
from orchestrator.store.files import Files
from orchestrator.store.json_columns import json_column
from orchestrator.store.paths import COMPACTED, DAMAGED, OURS, TENSORS
from orchestrator.store.purges import TABLE, unfinished
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES

ROWS = ("examples", "observations")
"""Tables of a row for each example, without which all metrics stay."""
IDS = ("forget_sets", "canaries")
"""Tables of ids, which are deleted on request."""
COPIES = "copies"
"""What a search for retained copies found of each forgotten example: columns of `forget_sets`."""
PAGES = (b"<title>Unlearning audit</title>", b"<title>Deletion audit: ")
"""Titles of the report and of the certificate."""
HEAD = 4096
"""Bytes in which the title stands."""
VIEWS = "views.sql"
"""Lies beside the tables of an export."""
WORDS = {
    "weights": "weights of models and shadow models",
    "shared": "tensors that stages share",
    **{name: f"table {name}: a row for each example" for name in (*ROWS, *IDS)},
    COPIES: "table forget_sets: the retained example that is most like each one",
    "pages": "reports and certificates",
    "exports": "exported tables of a row for each example",
    "damaged": "damaged files that were moved aside",
    "torn": "unfinished files of killed writers",
}


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Files of one kind."""

    what: str
    files: tuple[str, ...]
    size: int
    """Bytes."""


def find_traces(store: Store, *, ids: bool) -> list[Traces]:
    """What a purge would delete.

    Args:
        store: the results, which no sweep may be writing.
        ids: also the ids of forgotten examples and canaries; a purge that was to delete them and was killed goes on.
    """
    files = store.files
    ids = ids or any(row["what"] in IDS for row in unfinished(store))
    tables = (*ROWS, *IDS) if ids else ROWS
    visible = sorted(files.names(""))
    exported = {f"{name}.parquet" for name in tables}
    found: dict[str, Iterable[str]] = {
        **{kind: _below(files, kind) for kind in TENSORS},
        **{name: _below(files, name) for name in tables},
        COPIES: [] if ids else _with_copies(store),
        "pages": [name for name in visible if name.endswith(".html") and _is_page(files, name)],
        "exports": [
            name for name in visible if _split(name)[1] in exported and f"{_split(name)[0]}{VIEWS}" in visible
        ],
        "damaged": [
            name
            for folder in ("", *(f"/{name}/{COMPACTED}" for name in TABLES))
            for name in _below(files, f"{DAMAGED}{folder}")
        ],
        "torn": files.stale(seconds=0.0),
    }
    listed = {what: tuple(names) for what, names in found.items()}
    return [
        Traces(what=what, files=names, size=sum(map(files.size, names)))
        for what, names in listed.items()
        if names
    ]


def strangers(store: Store, traces: Sequence[Traces]) -> list[str]:
    """Files in the directory that no sweep writes and a purge leaves: perhaps answers, or scores of examples."""
    known = {name for found in traces for name in found.files}
    visible = sorted(store.files.names(""))
    return [
        name
        for name in visible
        if name.partition("/")[0] not in OURS
        and name not in known
        and f"{_split(name)[0]}{VIEWS}" not in visible  # the other tables of an export
    ]


def delete_traces(store: Store, traces: Sequence[Traces], *, now: datetime) -> str:
    """Delete what was found and record it; the name of the purge."""
    begun = unfinished(store)
    purge_id = begun[0]["purge_id"] if begun else f"purge-{secrets.token_hex(8)}"
    known = {row["what"] for row in begun}
    rows: list[dict[str, Any]] = [
        *begun,
        *(
            {"purge_id": purge_id, "what": t.what, "files": len(t.files), "bytes": t.size, "finished": False}
            for t in traces
            if t.what not in known
        ),
    ]
    rows = [{**row, "purged_at": now} for row in rows]
    store.write(TABLE, purge_id, rows)
    inventory.note(store, purge_id, {(TABLE, purge_id)})  # nothing else says that what goes has not got lost
    whole = {t.what for t in traces if t.what != COPIES}
    inventory.strike(store, {(part, key) for part, key in inventory.held(store) if part in whole})
    for found in traces:
        if found.what == COPIES:
            _forget_copies(store, now)
        else:
            for name in found.files:
                store.files.remove(name)
    store.write(TABLE, purge_id, [{**row, "finished": True} for row in rows])
    return str(purge_id)


def _below(files: Files, folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in files.names(folder)]


def _split(name: str) -> tuple[str, str]:
    """The directory with its slash, and the last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash, last


def _is_page(files: Files, name: str) -> bool:
    try:
        with files.open(name) as source:
            head = source.read(HEAD)
    except OSError:  # a link or a pipe: none of ours
        return False
    return any(title in head for title in PAGES)


def _with_copies(store: Store) -> list[str]:
    """Files of `forget_sets` that say something of single retained examples."""
    snapshot = store.snapshot("forget_sets")
    rows = store.read("forget_sets").select(["record_id", "retained_nearest"]).to_pylist()
    searched = {row["record_id"] for row in rows if row["retained_nearest"] is not None}
    return [entry.file for entry in snapshot.singles if entry.key in searched]


def _forget_copies(store: Store, now: datetime) -> None:
    """Keep of a search how many copies it found, and of no example which."""
    for record in sorted(store.keys("forget_sets")):
        rows = store.read("forget_sets", record).to_pylist()
        exact = sum(bool(row["retained_exact"]) for row in rows)
        told = f"purged on {now:%Y-%m-%d}; {exact} of {len(rows)} had an exact copy that stays"
        for row in rows:
            if row["retained_nearest"] is not None:
                provenance = json_column(row["provenance_json"], dict, where="forget_sets.provenance_json")
                row["provenance_json"] = json.dumps({**provenance, "retained_copies": {"purged": told}})
                row["retained_exact"] = row["retained_nearest"] = row["retained_distance"] = None
        store.write("forget_sets", record, rows)
