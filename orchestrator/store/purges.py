"""What a purge has deleted from results, as the table `purges` records it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.store import inventory
from orchestrator.store.store import Store

TABLE = "purges"


def purged(store: Store) -> frozenset[str]:
    """What was deleted, or was to be when a purge was killed: names of tables, of kinds of blobs, and others."""
    return frozenset(row["what"] for row in store.read(TABLE).select(["what"]).to_pylist())


def unfinished(store: Store) -> list[dict[str, Any]]:
    """The rows of a purge that was killed; none where every purge has ended."""
    return [row for row in store.read(TABLE).to_pylist() if not row["finished"]]


def unrecorded(store: Store) -> int:
    """How many records of purges are lost: results do not tell any more what was deleted and what has gone."""
    return len(inventory.lost_keys(store, TABLE))


def purge_line(store: Store) -> str:
    """One line on what was deleted and when; empty where nothing was."""
    rows, lost = store.read(TABLE).to_pylist(), unrecorded(store)
    unknown = f"purged, and {lost} records of that are lost" if lost else ""
    if not rows:
        return unknown
    latest: datetime = max(row["purged_at"] for row in rows)
    what = ", ".join(dict.fromkeys(row["what"] for row in rows))
    left = "" if all(row["finished"] for row in rows) else "; it was killed, and the same command ends it"
    told = f"purged on {latest:%Y-%m-%d %H:%M} UTC: {what}; metrics stay{left}"
    return f"{told}; {unknown}" if unknown else told
