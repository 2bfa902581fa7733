"""What a purge has deleted from results, as the table `purges` records it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from orchestrator.store.store import Store

TABLE = "purges"


def purged(store: Store) -> frozenset[str]:
    """What was deleted, or was to be when a purge was killed: names of tables, of kinds of blobs, and others."""
    return frozenset(row["what"] for row in store.read(TABLE).select(["what"]).to_pylist())


def unfinished(store: Store) -> list[dict[str, Any]]:
    """The rows of a purge that was killed; none where every purge has ended."""
    return [row for row in store.read(TABLE).to_pylist() if not row["finished"]]


def purge_line(store: Store) -> str:
    """One line on what was deleted and when; empty where nothing was."""
    rows = store.read(TABLE).to_pylist()
    if not rows:
        return ""
    latest: datetime = max(row["purged_at"] for row in rows)
    what = ", ".join(dict.fromkeys(row["what"] for row in rows))
    left = "" if all(row["finished"] for row in rows) else "; it was killed, and the same command ends it"
    return f"purged on {latest:%Y-%m-%d %H:%M} UTC: {what}; metrics stay{left}"
