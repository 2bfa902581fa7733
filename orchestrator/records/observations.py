"""Observations of shadow models as rows of the results, and back; imports no torch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.plan.cells import Plan
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.store.store import Store
from tasks.objectives.names import BESIDE_PHI
from tasks.shadows.observations import DENSE, RunBlock, State

STATE_NAMES = {int(state): state.name.lower() for state in State}
READ_COLUMNS = ("draw", "state", "example_id", "phi", "loss", "correct", *BESIDE_PHI)


def path_of(group: ShadowGroup) -> dict[str, str]:
    """The path columns of a group's observations."""
    return {"architecture": group.architecture, "method": group.method, "scope": group.scope or "all"}


def missing_groups(plan: Plan, store: Store, architecture: str) -> dict[int, list[ShadowGroup]]:
    """Groups that still lack observations of a shadow model, by shadow; none that are complete."""
    groups = [g for g in plan.shadow_groups.values() if g.architecture == architecture]
    done = store.keys("observations")
    numbers = range(plan.shadow_sets[architecture].layout.num_shadows)
    missing = {shadow: [g for g in groups if g.key(shadow) not in done] for shadow in numbers}
    return {shadow: lacking for shadow, lacking in missing.items() if lacking}


def block_rows(
    shadow_id: str, pool: str, example_ids: np.ndarray, block: RunBlock, *, epoch: int | None = None
) -> pa.Table:
    """Rows of `observations` for one run.

    Args:
        shadow_id: identity of the shadow model.
        pool: name of the target pool; empty for the model as trained.
        example_ids: `E`.
        block: the statistics of these examples.
        epoch: of unlearning after which they were taken; None for its end.
    """
    names = pa.array([STATE_NAMES[k] for k in sorted(STATE_NAMES)])
    columns = {
        "shadow_id": np.full(len(example_ids), shadow_id),
        "shadow": np.full(len(example_ids), block.shadow, dtype=np.int32),
        "pool": np.full(len(example_ids), pool),
        "draw": np.full(len(example_ids), block.draw, dtype=np.int32),
        "state": pa.DictionaryArray.from_arrays(pa.array(block.state.astype(np.int32)), names),
        "example_id": example_ids.astype(np.int32),
        "phi": block.phi.astype(np.float32),
    }
    if block.loss is not None:
        columns["loss"] = block.loss.astype(np.float32)
    if block.correct is not None:
        columns["correct"] = block.correct.astype(bool)
    for name in BESIDE_PHI:
        values = getattr(block, name)
        if values is not None:
            columns[name] = values.astype(np.float32)
    if epoch is not None:
        columns["epoch"] = np.full(len(example_ids), epoch, dtype=np.int32)
    return pa.table(columns)


def read_run_blocks(store: Store, group: ShadowGroup, num_shadows: int) -> list[RunBlock]:
    """The final observations of every shadow model of a group, a block for each draw."""
    blocks = []
    for shadow in range(num_shadows):
        table = store.read("observations", group.key(shadow), **path_of(group))
        blocks += run_blocks(shadow, table)
    return blocks


def run_blocks(shadow: int, table: pa.Table) -> list[RunBlock]:
    """The blocks of one shadow model, examples in ascending order; epochs on the way are left out.

    Args:
        shadow: its number in the layout.
        table: its rows of `observations` in one group.
    """
    final = pc.is_null(table["epoch"])
    table = table.select(READ_COLUMNS).filter(final)
    held = [name for name in BESIDE_PHI if not table[name].null_count]
    columns = {name: table[name].to_numpy() for name in ("draw", "example_id", "phi", "loss", *held)}
    columns["state"] = _state_codes(table["state"])
    if not table["correct"].null_count:
        columns["correct"] = table["correct"].cast(pa.int8()).to_numpy()
    blocks = []
    for draw in np.unique(columns["draw"]):
        rows = np.flatnonzero(columns["draw"] == draw)
        rows = rows[np.argsort(columns["example_id"][rows], kind="stable")]
        found = {name: columns[name][rows] for name in DENSE if name in columns}
        blocks.append(RunBlock(shadow=shadow, draw=int(draw), **found))
    return blocks


def _state_codes(column: pa.ChunkedArray) -> np.ndarray:
    codes = {name: code for code, name in STATE_NAMES.items()}
    combined = column.combine_chunks()
    table = np.array([codes[name] for name in combined.dictionary.to_pylist()], dtype=np.int8)
    return table[combined.indices.to_numpy()]
