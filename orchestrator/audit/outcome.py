"""What an audit came to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.audit.missing import failed_shadows
from orchestrator.plan.cells import Plan
from orchestrator.results.connection import Results
from orchestrator.store.inventory import gone
from orchestrator.store.store import Store


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Outcome:
    """The cells of one plan as they are in the results, and the way to everything else that is there."""

    plan: Plan
    """The cells that were asked for, with the hyper-parameters that a search has chosen."""
    out: str
    """Results directory."""
    run: str | None
    """Id of the run that asked for the plan, for `Results` and `--run`; None where a search has not ended."""
    cells: pa.Table
    """Rows of `cells` of this plan, in its order; absent are those that are not measured yet. `to_pandas()` makes a
    data frame of them."""
    failed_shadows: int
    """Trainings and unlearnings of shadow models that failed: cells rest on what is left."""
    lost: int
    """What an earlier run had left in these results and is neither there nor recorded as lost: `query --verify`."""
    stopped: bool
    """Whether it was asked to stop; the same call goes on where it stopped."""
    seconds: float
    """Wall time of this call."""

    def __repr__(self) -> str:
        told = f"{len(self.cells)} of {len(self.plan.cells)} cells measured, {len(self.failed)} failed"
        return f"<Outcome: {told}{', stopped' if self.stopped else ''}, in {self.out}>"

    @cached_property
    def failed(self) -> pa.Table:
        """The rows of `cells` that failed; `error_type` and `error` say why."""
        return self.cells.filter(pc.equal(self.cells["status"], "failed"))

    @property
    def finished(self) -> bool:
        """Whether every cell of the plan was measured, nothing failed and nothing is missing; the command returns 0."""
        measured = len(self.cells) == len(self.plan.cells)
        return measured and not (len(self.failed) or self.failed_shadows or self.lost)

    @cached_property
    def results(self) -> Results:
        """A session that rests on this plan, opened by the first use: `results.query("leaderboard")`."""
        return Results(self.out, self.run)


def outcome(plan: Plan, store: Store, *, run: str | None, stopped: bool, seconds: float) -> Outcome:
    """Read what the results hold of a plan.

    Args:
        plan: what was asked for.
        store: the results.
        run: the run that asked for it.
        stopped: whether the run was asked to stop.
        seconds: wall time of the run.
    """
    rows = store.read("cells")
    asked = pa.array([cell.cell_id for cell in plan.cells], pa.string())
    places = pc.index_in(asked, value_set=rows["cell_id"].cast(pa.string()))
    return Outcome(
        plan=plan,
        out=store.root,
        run=run,
        cells=rows.take(pc.drop_null(places)),
        failed_shadows=failed_shadows(plan, store),
        lost=len(gone(store)),
        stopped=stopped,
        seconds=seconds,
    )
