"""What an audit would do and cost, without doing it."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.audit import tuning
from orchestrator.audit.again import to_forget
from orchestrator.audit.finished import told_of_given
from orchestrator.audit.incomplete import incomplete
from orchestrator.audit.missing import Rerun, check_purged, missing_cells
from orchestrator.audit.request import check_out, planned
from orchestrator.config.settings import SweepConfig
from orchestrator.estimate.cost import Estimate, summarise
from orchestrator.estimate.past import read_past
from orchestrator.store.store import Store


def preview(
    config: SweepConfig,
    *,
    out: str,
    only: str = "",
    limit: int = 0,
    rerun: Rerun = "none",
    probe: bool = False,
) -> Estimate:
    """Estimate what `run` would do with these arguments; nothing is written.

    Args:
        config: the audit, whose plug-ins have been imported.
        out: results directory, which need not be there.
        only, limit, rerun: as of `run`.
        probe: time a small sample of each kind of stage that has not run in these results yet.
    """
    check_out(out)
    plan, store = planned(config, only=only, limit=limit), Store(out)
    searches = None
    if config.tuning.trials:
        search = tuning.plan_search(plan)
        searches = tuning.summarise(search, store)
        plan = planned(tuning.with_choices(config, search, store), only=only, limit=limit)
    check_purged(plan, store, rerun)
    missing, past = missing_cells(plan, store, rerun, incomplete(plan, store)), read_past(store)
    if probe:
        from orchestrator.estimate import probe as probing  # torch: a plan without a probe does without

        past = probing.probe(plan, missing, past)
    forgotten = frozenset().union(*to_forget(plan, store, missing, rerun))
    found = summarise(plan, store, missing=missing, past=past, forgotten=forgotten, tuning=searches)
    return replace(found, notes=(*found.notes, *told_of_given(plan, quickly=True)))
