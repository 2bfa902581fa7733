"""One call runs an audit and returns what came out: `from orchestrator import run`."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from orchestrator.audit import tuning
from orchestrator.audit.compute import compute, tidy
from orchestrator.audit.interrupt import interruptible
from orchestrator.audit.missing import Rerun, check_purged
from orchestrator.audit.outcome import Outcome, outcome
from orchestrator.audit.request import check_out, configured, planned
from orchestrator.config.plugins import load_plugins
from orchestrator.config.settings import SweepConfig
from orchestrator.plan.cells import Plan
from orchestrator.progress import display as displays
from orchestrator.progress.events import Event
from orchestrator.store.modes import Share
from orchestrator.store.purges import purge_line
from orchestrator.store.store import Store
from tasks.errors import AuditError, unknown_name


def run(
    source: str | Path | SweepConfig,
    *,
    out: str | Path = "results",
    share: Share | None = None,
    backend: Literal["inline", "local", "cluster"] | None = None,
    set: Mapping[str, Any] | None = None,
    only: str = "",
    limit: int = 0,
    rerun: Rerun = "none",
    tune: int | None = None,
    display: displays.DisplayName = "none",
    stop: threading.Event | None = None,
) -> Outcome:
    """Audit unlearning methods against retraining, over a whole grid; calling it again resumes.

    It does what `python -m orchestrator.sweep` does, and may be called as often as is wanted, from a script (no
    `if __name__ == "__main__"` is needed), a notebook or a thread. Ctrl-C acts as there: the first lets what runs
    finish and returns, the second raises KeyboardInterrupt. Signals reach the main thread only; in another thread
    `stop` takes their place, and a stage that passes its time limit and cannot be left ends the process.

    Methods and attacks of your own belong in a module that `plugins` names: Ray's processes do not know what a
    notebook defines.

    Args:
        source: path of a TOML file, the name of a preset, or a configuration.
        out: results directory: a path or URI that every node can reach.
        share: who may read the results besides their owner: nobody, or the group; None: as they are, and nobody where
            they are new.
        backend: this process (inline), Ray on this machine (local), or the running Ray cluster (cluster); None: as
            configured.
        set: other values by dotted key: `{"axes.seed": [0, 1], "methods.scrub.lr": 0.01}`.
        only: cells to measure (`"method=scrub,scope=last-*"`), with their references; empty: all.
        limit: audited cells to measure, at most; 0: all.
        rerun: what is computed again: none, failed or all of what is selected.
        tune: trials that every method is given before the audit; None: as configured.
        display: how progress is shown on stderr: auto, rich, plain, json or none.
        stop: set it, from another thread, to let what runs finish and begin nothing new.

    Raises:
        AuditError: a configuration, a plug-in, the results or the backend cannot be used. A cell that fails raises
            nothing: it is a row, of `Outcome.failed`.
    """
    _check_choice("rerun", rerun, Rerun)
    if share is not None:
        _check_choice("share", share, Share)
    _check_choice("display", display, displays.DisplayName)
    for name, value, kinds in (
        ("source", source, (str, Path, SweepConfig)),
        ("out", out, (str, Path)),
        ("set", set or {}, (Mapping,)),
        ("only", only, (str,)),
        ("limit", limit, (int,)),
    ):
        if not isinstance(value, kinds):
            told = " or ".join(kind.__name__ for kind in kinds)
            raise AuditError(f"{name}: expected {told}, got {value!r:.60}")
    check_out(out)
    if limit < 0:
        raise AuditError(f"limit: expected 0 or more, got {limit}")
    config = configured(source, set, backend=backend, tune=tune)
    named_by = "the configuration" if isinstance(source, SweepConfig) else str(source)
    load_plugins(config.plugins, named_by=named_by)
    plan, store = planned(config, only=only, limit=limit), Store(str(out))
    store.check_ready(share)
    stop = threading.Event() if stop is None else stop
    began = time.perf_counter()
    with displays.display(display) as listener, interruptible(stop, listener):

        def search(trials: Plan, results: Store) -> None:
            results.check_ready(store.files.shared())
            check_purged(trials, results, rerun)
            searched = compute(trials, results, rerun="none", listener=listener, stop=stop)
            tidy(results, searched, listener, stop)

        chosen = tuning.tuned(plan, store, search) if config.tuning.trials else config
        run_id = None
        for line in filter(None, (store.files.open_root(), purge_line(store))):
            listener(Event(kind="note", name=line))
        if chosen is None:
            listener(Event(kind="note", name="tuning has not ended: nothing is audited yet"))
        else:
            plan = plan if chosen is config else planned(chosen, only=only, limit=limit)
            check_purged(plan, store, rerun)
            run_id = compute(plan, store, rerun=rerun, listener=listener, stop=stop)
            tidy(store, run_id, listener, stop)
    return outcome(plan, store, run=run_id, stopped=stop.is_set(), seconds=time.perf_counter() - began)


def _check_choice(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise unknown_name("value", str(value), get_args(choices), where=name)
