"""What results held when a run ended, so that what has gone since is missed; and what is known to be lost."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from orchestrator.store import layout, paths
from orchestrator.store.damage import WEIGHTS
from orchestrator.store.runs import named_run
from orchestrator.store.store import Store
from orchestrator.store.tables import INVENTORY, TABLES

Held = tuple[str, str]
"""A table, or weights, and a key there."""
HISTORY = frozenset({"runs", "plans", "losses", "purges"})
"""Tables of what happened once, which nothing computes again."""


def held(store: Store, besides: Collection[str] = ()) -> set[Held]:
    """Everything that is there now, but for inventories and tensors that are kept to save time.

    Args:
        store: the results.
        besides: damaged files, which hold nothing.
    """
    tables = {
        (name, key)
        for name, table in TABLES.items()
        if name != INVENTORY
        for key in layout.keys_besides(store.arrow_files, table, besides)
    }
    weights = {key for key in store.blob_keys(WEIGHTS) if paths.blob_name(WEIGHTS, key) not in besides}
    return tables | {(WEIGHTS, key) for key in weights}


def take(store: Store, run_id: str) -> None:
    """Write down what is there at the end of a run; lists of others that say no more than this one go."""
    now, lists = held(store), _lists(store)
    record_restored(store, now)
    own = now | lists.get(run_id, set())  # what it had listed and has gone since is still missed
    if lists.get(run_id) != own:
        _write(store, run_id, own)
    accounted = own | known_losses(store)
    store.delete_all(
        INVENTORY, [run for run, listed in lists.items() if run != run_id and listed <= accounted]
    )


def note(store: Store, held_id: str, noted: AbstractSet[Held]) -> None:
    """Write down, under an id that no run has, what is to be missed from now on; the next run that ends takes it."""
    _write(store, held_id, noted)


def strike(store: Store, dropped: AbstractSet[Held]) -> None:
    """Take off the lists what is about to be removed on purpose: it is computed again, or fails and leaves less."""
    for run_id, listed in _lists(store).items():
        if listed & dropped:
            _write(store, run_id, listed - dropped)


def gone(store: Store, besides: Collection[str] = ()) -> set[Held]:
    """What some run left behind that is not there any more, and that nobody has been told is lost."""
    listed: set[Held] = set().union(*_lists(store, besides).values())
    return listed - held(store, besides) - known_losses(store, besides)


def lost(store: Store) -> set[Held]:
    """What is not there any more, whether or not that is on record."""
    return _once_held(store) - held(store)


def lost_keys(store: Store, part: str) -> set[str]:
    """Keys of one table that results held once, whether or not their loss is on record."""
    return {key for name, key in _once_held(store) if name == part} - store.keys(part)


def _once_held(store: Store) -> set[Held]:
    return set().union(*_lists(store).values(), known_losses(store))


def unlisted(store: Store) -> str | None:
    """The run that was begun last, if there is no list of what it left: it was killed, or still runs."""
    latest = named_run(store, None)
    return None if latest is None or latest.run_id in store.keys(INVENTORY) else latest.run_id


def known_losses(store: Store, besides: Collection[str] = ()) -> set[Held]:
    """What was recorded as lost, and was not seen to be back since."""
    rows = store.read_besides("losses", besides).to_pylist()
    return {(row["part"], row["part_key"]) for row in rows if row["restored_at"] is None}


def still_lost(store: Store) -> set[Held]:
    """Of what was recorded as lost, what no sweep has brought back."""
    return known_losses(store) - held(store)


def record_losses(store: Store, lost: Iterable[Held]) -> None:
    """Record that something is lost; it stays on record when a sweep computes it again."""
    now = datetime.now(UTC)
    for part, key in sorted(lost):
        loss_id = hashlib.sha256(f"{part}\n{key}".encode()).hexdigest()[:32]
        store.write("losses", loss_id, [{"part": part, "part_key": key, "noticed_at": now}])


def record_restored(store: Store, now: AbstractSet[Held], besides: Collection[str] = ()) -> None:
    """Record that losses have come back, so that they are missed when they are lost once more.

    Args:
        store: the results.
        now: what is there.
        besides: files that cannot be read.
    """
    at = datetime.now(UTC)
    for row in store.read_besides("losses", besides).to_pylist():
        if row["restored_at"] is None and (row["part"], row["part_key"]) in now:
            store.write("losses", row["loss_id"], [row | {"restored_at": at}])


def _write(store: Store, run_id: str, listed: AbstractSet[Held]) -> None:
    rows = [{"part": part, "part_key": key} for part, key in sorted(listed)]
    store.write(INVENTORY, run_id, rows)


def _lists(store: Store, besides: Collection[str] = ()) -> dict[str, set[Held]]:
    """What each run that ended left, by its id."""
    rows = store.read_besides(INVENTORY, besides)
    columns = (TABLES[INVENTORY].key, "part", "part_key")
    found: dict[str, set[Held]] = defaultdict(set)
    for key, part, part_key in zip(*(rows[name].to_pylist() for name in columns), strict=True):
        found[key].add((part, part_key))
    return found
