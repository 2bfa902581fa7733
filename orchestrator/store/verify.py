"""Whether results are as they were written: every damage named in one pass, and set aside."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa

from orchestrator.store import marker
from orchestrator.store.damage import WEIGHTS, Damage, damaged_marker, damaged_tables, damaged_tensors
from orchestrator.store.files import MARKER
from orchestrator.store.inventory import (
    Held,
    gone,
    held,
    record_losses,
    record_restored,
    still_lost,
    unlisted,
)
from orchestrator.store.paths import BLOB_SUFFIX, COMPACTED, DAMAGED, SEARCH
from orchestrator.store.purges import purge_line
from orchestrator.store.schema import SCHEMA_VERSION
from orchestrator.store.store import STALE_SECONDS, Store, search_store
from orchestrator.store.tables import TABLES

NAMING = ("cells", "models", "shadows", "costs")
"""Tables that say what rests on what, and which tensors belong to what."""
NAMED = 3
"""Keys of a table that the line on what is missing names."""


def verify(store: Store) -> list[Damage]:
    """Read every file and name those that are damaged, misplaced or unreadable, and what has gone.

    Each file is compared with the checksum that it carries, or that the row of its model carries, and its name with
    the one that it was written under; what is there is compared with what the last runs left.

    Raises:
        WrongVersion: the results are of another schema version.
    """
    with contextlib.suppress(OSError, ValueError):  # named below
        store.arrow_files.require_version(marker.read(store.files) or str(SCHEMA_VERSION), MARKER)
    found = [
        *damaged_marker(store.files, expected=store.has_results()),
        *damaged_tables(store.arrow_files, TABLES),
    ]
    damaged = {damage.file for damage in found}
    whole = {name: store.read_besides(name, damaged) for name in NAMING}
    found += damaged_tensors(store.files, _digests(whole))
    lost = gone(store, besides={damage.file for damage in found})
    found = [_with_keys(damage, lost) for damage in found]
    found += _missing(lost - {(damage.part, key) for damage in found for key in damage.keys})
    resting = _cells_on(whole)
    return [
        replace(damage, cells=len(set().union(*(resting[key] for key in damage.keys)))) for damage in found
    ]


def repair(store: Store) -> list[Damage]:
    """Record what is lost, move what is damaged below `_damaged/`, and remove what killed writers left behind.

    The next sweep computes again what it can. What cannot be read is left where it is: it may be whole. A kill in
    between leaves losses on record of which the files still lie there: the next repair moves them.
    """
    found = verify(store)
    aside = [damage.file for damage in found if damage.state == "damaged"]
    losses = [
        file for file in aside if file.partition("/")[0] == "losses"
    ]  # written anew under the same names
    _move_aside(store, losses)
    record_losses(store, {(damage.part, key) for damage in found if damage.lost for key in damage.keys})
    _move_aside(store, [file for file in aside if file not in losses])
    if any(damage.file == MARKER and damage.state != "unreadable" for damage in found):
        marker.write(store.files)
    left = {damage.file for damage in found if damage.state == "unreadable"}
    record_restored(store, held(store, left), left)
    store.clear_stale()
    return found


def _move_aside(store: Store, files: Iterable[str]) -> None:
    for file in files:
        store.files.move(file, _aside(store, file))


def _aside(store: Store, file: str) -> str:
    """A name below `_damaged/` that nothing has: what was damaged before is kept too."""
    names = (f"{DAMAGED}/{file}{f'.{number}' if number > 1 else ''}" for number in itertools.count(1))
    return next(name for name in names if not store.files.exists(name))


def nested(store: Store) -> list[Store]:
    """Results within these: those of a search for hyper-parameters."""
    return [search_store(store)] if any(True for _ in store.files.names(SEARCH)) else []


def remarks(store: Store) -> list[str]:
    """What is known to be lost and has not come back, a line for each table; a purge; a last run that has not ended;
    what killed writers left behind."""
    counts = Counter(part for part, _ in still_lost(store))
    lines = [f"{part}: {count} recorded as lost (table losses)" for part, count in sorted(counts.items())]
    if (run_id := unlisted(store)) is not None:
        lines.append(
            f"run {run_id} has left no list of its results, so what has gone cannot be told; the same sweep ends it"
        )
    if torn := store.files.stale(seconds=STALE_SECONDS):
        size = sum(map(store.files.size, torn)) / 1e6
        lines.append(f"{len(torn)} unfinished files of killed writers, {size:.1f} MB: --repair removes them")
    return [*lines, *filter(None, [purge_line(store)])]


def _with_keys(damage: Damage, lost: set[Held]) -> Damage:
    """What has gone with a file: of a compacted one, which says no more what it held, all that its table lacks."""
    own = frozenset(key for part, key in lost if part == damage.part)
    if f"/{COMPACTED}/" in damage.file:
        return replace(damage, keys=own)
    return replace(damage, keys=damage.keys & own) if damage.misplaced else damage


def _missing(gone: set[Held]) -> Iterator[Damage]:
    """One line for each table, or for weights, of which keys have gone."""
    by_part: dict[str, list[str]] = defaultdict(list)
    for part, key in sorted(gone):
        by_part[part].append(key)
    for part, keys in by_part.items():
        told = ", ".join(keys[:NAMED]) + (f" and {len(keys) - NAMED} more" if len(keys) > NAMED else "")
        yield Damage(
            file=f"{part}/{keys[0]}{BLOB_SUFFIX}" if part == WEIGHTS and len(keys) == 1 else part,
            reason=f"missing, though a run left it: {told}",
            state="missing",
            keys=frozenset(keys),
        )


def _digests(whole: Mapping[str, pa.Table]) -> dict[str, str]:
    """SHA-256 of tensors by the model, the shadow model or the stage that they belong to."""
    found: dict[str, str] = {}
    for table, column in (
        ("models", "weights_digest"),
        ("shadows", "weights_digest"),
        ("costs", "output_digest"),
    ):
        for key, digest in _columns(whole[table], TABLES[table].key, column):
            if digest:
                found[key] = digest
    return found


def _cells_on(whole: Mapping[str, pa.Table]) -> dict[str, set[str]]:
    """Ids of the cells that rest on each thing that has an id: no two kinds of things share one."""
    resting: dict[str, set[str]] = defaultdict(set)
    names = ("cell_id", "model_id", "reference_id", "group_id", "setting", "run_id", "shadow_set")
    for cell_id, *others in _columns(whole["cells"], *names):
        for key in {cell_id, *others} - {None}:
            resting[key].add(cell_id)
    models = _columns(whole["models"], "model_id", "kind", "parent_id", "retrained_id")
    for model_id, kind, parent, retrained in sorted(models, key=lambda row: row[1] != "unlearned"):
        if kind == "shadow":  # its parent is the group that cells rest on
            resting[model_id] |= resting[parent]
        else:
            for key in {parent, retrained} - {None}:
                resting[key] |= resting[model_id]
    for shadow_id, shadow_set in _columns(whole["shadows"], "shadow_id", "shadow_set"):
        resting[shadow_id] |= resting[shadow_set]
    return resting


def _columns(rows: pa.Table, *names: str) -> Iterator[tuple[str, ...]]:
    return zip(*(rows[name].to_pylist() for name in names), strict=True)
