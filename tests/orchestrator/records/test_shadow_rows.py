"""Observations come back from their rows as they went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.plan.shadows import ShadowGroup, batch_of
from orchestrator.records.observations import block_rows, path_of, read_run_blocks
from orchestrator.store.store import Store
from tasks.shadows.layout import ShadowLayout
from tasks.shadows.observations import RunBlock

GROUP = ShadowGroup(group_id="g", architecture="net", method="scrub", scope="last-2", pool="random")
IDS = np.array([3, 5, 8, 9])


OF_DOCUMENTS = ("min_k_pp", "min_k", "token_accuracy", "extraction")


def block(shadow: int, draw: int, *, answers: bool = True, documents: bool = False) -> RunBlock:
    generator = np.random.Generator(np.random.PCG64([shadow, draw]))
    return RunBlock(
        shadow=shadow,
        draw=draw,
        state=np.array([0, 1, 2, 3], dtype=np.int8),
        phi=generator.normal(size=4).astype(np.float32),
        loss=generator.random(4).astype(np.float32),
        correct=np.array([1, 0, 1, 1], dtype=np.int8) if answers else None,
        **{name: generator.random(4).astype(np.float32) for name in OF_DOCUMENTS if documents},
    )


def write(store: Store, shadow: int, blocks: list[RunBlock]) -> None:
    tables = [block_rows(f"s{shadow}", "random", IDS, b) for b in blocks]
    step = RunBlock(shadow=shadow, draw=0, state=np.zeros(2, np.int8), phi=np.ones(2, np.float32))
    tables.append(block_rows(f"s{shadow}", "random", IDS[:2], step, epoch=1))
    rows = pa.concat_tables(tables, promote_options="default")
    store.write("observations", GROUP.key(shadow), rows, **path_of(GROUP))


@pytest.mark.parametrize(("answers", "documents"), [(True, False), (False, False), (True, True)])
def test_blocks_come_back_without_the_epochs_on_the_way(
    tmp_path: Path, answers: bool, documents: bool
) -> None:
    store = Store(str(tmp_path))
    written = [
        block(shadow, draw, answers=answers, documents=documents) for shadow in range(3) for draw in range(2)
    ]
    for shadow in range(3):
        write(store, shadow, [b for b in written if b.shadow == shadow][::-1])
    found = read_run_blocks(store, GROUP, 3)
    assert [(b.shadow, b.draw) for b in found] == [(b.shadow, b.draw) for b in written]
    for ours, theirs in zip(found, written, strict=True):
        for name in ("state", "phi", "loss", "correct", *OF_DOCUMENTS):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_a_shadow_model_that_failed_has_no_block(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write(store, 0, [block(0, 0)])
    store.write("observations", GROUP.key(1), [], **path_of(GROUP))
    assert [(b.shadow, b.draw) for b in read_run_blocks(store, GROUP, 2)] == [(0, 0)]


def test_batches_are_cut_alike_whatever_is_left() -> None:
    layout = ShadowLayout(train_ids=np.arange(40), labels=np.arange(40) % 2, num_shadows=10, pools=(), seed=0)
    assert [batch_of(layout, j, 4) for j in (0, 3, 4, 9)] == [range(4), range(4), range(4, 8), range(8, 10)]
