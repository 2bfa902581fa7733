"""How many models of each kind a run asked for, and how many of them there are: from counts, and no clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.store.json_columns import json_column
from orchestrator.store.runs import Run
from orchestrator.store.store import Store

KINDS = ("pretrained", "original", "retrained", "shadow", "unlearned")
"""In the order in which they are made."""


class Made(NamedTuple):
    """Models of one kind."""

    done: int
    """Made, or failed."""
    failed: int
    """Of all runs, where the run did not record what it asked for."""
    planned: int | None
    """None: the run did not record it."""


def begun(kinds: Mapping[str, str], store: Store) -> str:
    """What a run that begins has before it, as the column `stages_json` holds it.

    Args:
        kinds: of every model of the plan, by id; work on a shadow model in one group is a model of the kind shadow.
        store: the results.
    """
    there = store.keys("models") & kinds.keys()
    rows = Counter(store.read("models")["kind"].to_pylist())
    planned, done = Counter(kinds.values()), Counter(kinds[key] for key in there)
    counts = {kind: {"planned": planned[kind], "done": done[kind], "rows": rows[kind]} for kind in planned}
    return json.dumps(counts, sort_keys=True)


def made(run: Run | None, store: Store) -> dict[str, Made]:
    """What there is by kind, next to what the run asked for: what it had, and the rows that came since."""
    rows = Counter(zip(*(store.read("models")[name].to_pylist() for name in ("kind", "status")), strict=True))
    asked = json_column(run.row["stages_json"] or "{}", dict, where="runs.stages_json") if run else {}
    found = {}
    for kind in KINDS:
        failed, now = rows[kind, "failed"], sum(n for (of, _), n in rows.items() if of == kind)
        if kind in asked:
            planned, before, at_first = (int(asked[kind][name]) for name in ("planned", "done", "rows"))
            done = min(max(before + now - at_first, 0), planned)
            found[kind] = Made(done=done, failed=min(failed, done), planned=planned)
        elif now and not asked:
            found[kind] = Made(done=now, failed=failed, planned=None)
    return found
