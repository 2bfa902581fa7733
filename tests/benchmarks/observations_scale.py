"""Size and speed of the observations table at the size of a real per-example audit.

    python tests/benchmarks/observations_scale.py [--shadows 256] [--methods 1] [--examples 60000]

Writes the observations of shadow models as trained and of some unlearning methods (synthetic statistics,
the real layout, schema and store), then measures bytes per row, the evaluation of one cell, and named
queries. The last lines extrapolate to 256 shadow models x 18 methods x 60,000 examples = 276 million rows:
bytes, writing and whole-table scans grow with the rows, a cell and a query of one method do not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from orchestrator.bench.shadow_source import CellShadows, StoredObservations
from orchestrator.plan.cells import ShadowSubject
from orchestrator.plan.shadows import ShadowGroup, ShadowSet
from orchestrator.records.observations import block_rows, path_of, read_run_blocks
from orchestrator.records.rows import examples_table
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tasks.attacks.kernel_density import KernelDensity
from tasks.attacks.lira import ULiRA
from tasks.attacks.rank_test import RankTest
from tasks.attacks.views import ShadowView
from tasks.measure.evaluate import Settings
from tasks.metrics.audit import aggregate
from tasks.metrics.harm import retain_harm
from tasks.metrics.per_example import discoveries
from tasks.shadows.games import compare
from tasks.shadows.layout import ShadowLayout, TargetPool
from tasks.shadows.observations import Observations, RunBlock, State
from tasks.training.recipe import Recipe

FULL_ROWS = 256 * 18 * 60_000
TARGETS, FORGET = 1000, 250
NUM_CLASSES = 10


def timed(what: str, action: Callable[[], Any]) -> tuple[Any, float]:
    """Run it, print its CPU seconds and its wall seconds, and what it returned where that is short; return the wall's.

    Of parts that run in one thread, the CPU's hold on a machine that does something else as well.
    """
    began, cpu = time.perf_counter(), time.process_time()
    answer = action()
    busy, seconds = time.process_time() - cpu, time.perf_counter() - began
    shown = answer if isinstance(answer, (int, float, str)) else ""
    print(f"{what:58s} {busy:9.2f} s CPU {seconds:9.2f} s  {shown}", flush=True)
    return answer, seconds


def make_set(shadows: int, examples: int) -> ShadowSet:
    """The layout of an audit: five sixths of the examples are the universe, a thousand are targets."""
    universe = np.arange(examples * 5 // 6)
    generator = np.random.Generator(np.random.PCG64(1))
    pool = TargetPool(
        name="random", ids=generator.choice(universe, TARGETS, replace=False), forget_size=FORGET
    )
    layout = ShadowLayout(
        train_ids=universe, labels=universe % NUM_CLASSES, num_shadows=shadows, pools=(pool,), seed=0
    )
    return ShadowSet(
        architecture="resnet18", layout=layout, recipe=Recipe(), set_id="benchmark", base_id="base"
    )


def unlearned(shadows: ShadowSet, method: int) -> ShadowGroup:
    """The group of one of several methods."""
    place = {"architecture": shadows.architecture, "scope": "all", "pool": "random"}
    return ShadowGroup(group_id=f"group{method}", method=f"method{method}", **place)


def synthetic_block(
    shadows: ShadowSet, group: ShadowGroup, shadow: int, ids: np.ndarray, difficulty: np.ndarray
) -> RunBlock:
    """Statistics whose mean depends on the example and on its state."""
    generator = np.random.Generator(np.random.PCG64([shadow, len(group.method)]))
    state = shadows.layout.states(shadow, ids, pool=group.pool, draw=0)
    shift = np.array([0.0, 3.0, 1.0, 0.0])[state]
    phi = (difficulty + shift + 2 * generator.standard_normal(len(ids))).astype(np.float32)
    loss = np.logaddexp(0, -phi.astype(np.float64)).astype(np.float32)
    return RunBlock(shadow=shadow, draw=0, state=state, phi=phi, loss=loss, correct=(phi > 0).astype(np.int8))


def write_group(store: Store, shadows: ShadowSet, group: ShadowGroup, ids: np.ndarray, epochs: int) -> int:
    """Write every shadow model of a group, targets after each epoch too; return the rows."""
    difficulty = np.random.Generator(np.random.PCG64(7)).normal(2, 2, len(ids))
    targets = shadows.layout.pools[0].ids
    rows = 0
    for shadow in range(shadows.layout.num_shadows):
        block = synthetic_block(shadows, group, shadow, ids, difficulty)
        tables = [block_rows(shadows.shadow_id(shadow), group.pool, ids, block)]
        for epoch in range(epochs if group.pool else 0):
            step = RunBlock(shadow=shadow, draw=0, state=block.state[targets], phi=block.phi[targets] - epoch)
            tables.append(block_rows(shadows.shadow_id(shadow), group.pool, targets, step, epoch=epoch))
        table = pa.concat_tables(tables, promote_options="default")
        store.write("observations", group.key(shadow), table, **path_of(group))
        work = {"kind": "shadow", "parent_id": group.group_id, "shadow_set": shadows.set_id}
        store.write("models", group.key(shadow), [work | common(group)])
        rows += table.num_rows
    if group.pool:
        cell = {"group_id": group.group_id, "reference_id": group.group_id, "shadow_set": shadows.set_id}
        cell |= {"attack": "u_lira", "role": "audited", "setting": group.group_id, "conditions": "u_lira"}
        store.write("cells", group.group_id, [cell | common(group)])
    return rows


def common(group: ShadowGroup) -> dict[str, str]:
    """What rows of the work and of the cells of a group have in common."""
    return {"dataset": "synthetic", "forget_set": group.pool, "status": "finished", **path_of(group)}


def write_masks(store: Store, shadows: ShadowSet, examples: int) -> None:
    """The `shadows` table, whose masks `shadow_health` counts."""
    layout = shadows.layout
    for j in range(layout.num_shadows):
        inside = np.zeros(examples, dtype=bool)
        inside[layout.members(j)] = True
        row = {
            "pair_id": f"benchmark-{j // 2}",
            "shadow_set": shadows.set_id,
            "architecture": shadows.architecture,
            "dataset": "synthetic",
            "in_mask": np.packbits(inside, bitorder="little").tobytes(),
            "in_digest": str(j),
        }
        store.write("shadows", shadows.shadow_id(j), [row])


def evaluate(store: Store, shadows: ShadowSet, group: ShadowGroup, ids: np.ndarray) -> None:
    """Read one group and run U-LiRA in G2 (targets) and G3 (all retained examples), part by part."""

    def read() -> Observations:
        blocks = read_run_blocks(store, group, shadows.layout.num_shadows)
        return Observations.from_blocks(
            blocks, method=group.method, scope="all", family=group.pool, example_ids=ids
        )

    observations, _ = timed(f"cell: read {shadows.layout.num_shadows} runs of one method", read)
    print(f"{'':58s} {observations.nbytes / 2**20:9.0f} MiB in memory")
    for game, examples in (("G2", TARGETS), ("G3", int((observations.state[0] != State.TEST).sum()))):
        scores, _ = timed(
            f"cell: U-LiRA {game} on {examples} examples",
            lambda game=game: ULiRA(game=game).score(compare(observations, game)),
        )
        timed(f"cell: {game} metrics", lambda s=scores: aggregate(s))
        if game == "G2":
            timed("cell: G2 rank tests", lambda: _discoveries(observations))
    timed("cell: G3 retain harm, reading the base models", lambda: _harm(store, shadows, observations))


def _harm(store: Store, shadows: ShadowSet, observations: Observations) -> str:
    blocks = read_run_blocks(store, shadows.base(), shadows.layout.num_shadows)
    base = Observations.from_blocks(
        blocks, method="none", scope="all", family="", example_ids=observations.example_ids
    )
    games = (compare(runs, "G3") for runs in (observations.before(base), observations))
    harm = retain_harm(ULiRA(game="G3").score, *games)
    return f"change {harm.value:+.4f} [{harm.ci_low:+.4f}, {harm.ci_high:+.4f}]"


def whole_cells(store: Store, shadows: ShadowSet, group: ShadowGroup, examples: int) -> float:
    """Cells as a sweep measures them, from files to rows; return the seconds of U-LiRA in G2 and G3."""
    universe = shadows.layout.train_ids
    plan: Any = SimpleNamespace(
        shadow_sets={shadows.architecture: shadows},
        shadow_groups={"group": group},
        data=SimpleNamespace(
            splits=SimpleNamespace(train=universe, test=np.arange(len(universe), examples)),
            labels=SimpleNamespace(labels=np.arange(examples) % NUM_CLASSES),
            forget_sets={group.pool: SimpleNamespace(ids=np.sort(shadows.layout.pools[0].ids))},
        ),
    )
    cell: Any = SimpleNamespace(
        subject=ShadowSubject("group"),
        reference=ShadowSubject(group.group_id),
        architecture=shadows.architecture,
        forget_set=group.pool,
    )
    settings, seconds = Settings(), {}
    for attack in (ULiRA(game="G2"), ULiRA(game="G3"), KernelDensity(game="G2"), KernelDensity(game="G3")):
        name = f"whole cell: {type(attack).__name__} {attack.game}"
        shadows_of_cell = CellShadows(StoredObservations(plan, store), cell)
        view = ShadowView(attack, shadows_of_cell, name=name, settings=settings)
        measure = lambda a=attack, v=view: f"{examples_table(a.measure(v).examples).num_rows} rows"  # noqa: E731
        seconds[name] = timed(name, measure)[1]
    return sum(s for name, s in seconds.items() if "ULiRA" in name)


def _discoveries(observations: Observations) -> str:
    attack = RankTest(game="G2")
    found = discoveries(attack.tests(compare(observations, "G2")).p_value, rate=attack.fdr)
    return f"{found.discovered.sum()} examples"


def ask(root: str, method: str) -> dict[str, float]:
    """Named queries; those that read one method, and those that read the whole table."""
    with Results(root) as results:
        statements = {
            "count(*) of all rows": "select count(*) as n from observations",
            "mean phi by method and state, all rows": "select method, state, avg(phi) as phi, count(*) as n "
            "from observations group by all",
            "one example in all runs": "select method, state, avg(phi) as phi from observations "
            "where example_id = 123 and epoch is null group by all",
            "one method by state (its path)": "select state, avg(phi) as phi from observations "
            f"where method = '{method}' group by all",
            "per-example mean difference, one method": "select example_id, "
            "avg(phi) filter (state = 'unlearned') - avg(phi) filter (state = 'never') as d "
            f"from observations where method = '{method}' and epoch is null group by all",
        }
        seconds = {}
        for name, text in statements.items():
            seconds[name] = timed(f"sql: {name}", lambda t=text: f"{results.sql(t).num_rows} rows")[1]
        for name, params in (
            ("stopping", {"method": method}),
            ("forgetting_order", {}),
            ("shadow_health", {}),
        ):
            answer = lambda n=name, p=params: f"{results.query(n, **p).num_rows} rows"  # noqa: E731
            seconds[name] = timed(f"query: {name}", answer)[1]
    return seconds


def main(shadows: int, methods: int, examples: int, epochs: int, root: str) -> None:
    """Write, measure, ask, extrapolate."""
    store = Store(root)
    store.check_ready()
    (made, _), ids = timed("layout", lambda: make_set(shadows, examples)), np.arange(examples)
    groups = [made.base()] + [unlearned(made, m) for m in range(methods)]
    rows, writing = 0, 0.0
    for group in groups:
        count, seconds = timed(
            f"write {group.method}", lambda g=group: write_group(store, made, g, ids, epochs)
        )
        rows, writing = rows + count, writing + seconds
    write_masks(store, made, examples)
    store.compact(["models"])
    files = list((Path(root) / "observations").rglob("*.arrow"))
    size = sum(path.stat().st_size for path in files)
    print(
        f"\n{rows / 1e6:.1f} M rows in {len(files)} files, {size / 2**30:.2f} GiB, {size / rows:.2f} B/row\n"
    )
    evaluate(store, made, groups[-1], ids)
    cell = whole_cells(store, made, groups[-1], examples)
    seconds = ask(root, groups[-1].method)
    factor = FULL_ROWS / rows
    print(f"\nextrapolated to {FULL_ROWS / 1e6:.0f} M rows (x {factor:.1f}):")
    print(f"  size {size * factor / 2**30:.1f} GiB; writing {writing * factor:.0f} s in one process")
    print(f"  cells: {cell:.0f} s for G2 and G3 of a method, whatever the number of methods")
    for name in ("count(*) of all rows", "mean phi by method and state, all rows", "one example in all runs"):
        print(f"  sql: {name}: {seconds[name] * factor:.1f} s")
    print(f"  query: forgetting_order (all methods): {seconds['forgetting_order'] * factor:.1f} s")
    print("  queries of one method, and shadow_health: as measured")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shadows", type=int, default=256)
    parser.add_argument("--methods", type=int, default=1)
    parser.add_argument("--examples", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=4, help="trajectory of the targets; 0 for none")
    parser.add_argument("--dir", default=None, help="parent of the temporary results directory")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as place:
        main(given.shadows, given.methods, given.examples, given.epochs, str(Path(place) / "results"))
