"""Plan an audit, run what is missing, and show what came out: `python -m orchestrator.sweep [FILE]`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from orchestrator.audit import tuning
from orchestrator.backends.work import Work, make_backend, needs_shadows, shadow_batches
from orchestrator.command_line import Flag, parse
from orchestrator.config.describe import describe
from orchestrator.config.settings import SweepConfig, load, parse_assignment
from orchestrator.errors import Exit, one_line, run_command
from orchestrator.estimate import cost
from orchestrator.estimate.past import Past, read_past
from orchestrator.plan.cells import Cell, ModelSpec, Plan, select
from orchestrator.plan.grid import make_plan
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.progress.display import DisplayName, display
from orchestrator.progress.events import Event, Listener
from orchestrator.records import provenance, retained_copies
from orchestrator.records.observations import path_of
from orchestrator.records.rows import canary_rows
from orchestrator.results.leaderboard import print_leaderboard
from orchestrator.store.schema import TABLES
from orchestrator.store.store import SMALL_FILES, Store
from tasks.errors import AuditError
from tasks.registry import import_plugins

EXAMPLES = """examples:
  python -m orchestrator.sweep                        the embedded digits
  python -m orchestrator.sweep audit.toml --dry-run   what would run, how long
  python -m orchestrator.sweep audit.toml --axes.seed 0 1 --only "method=scrub"
"""
CELLS, PLACE, SHOWN = "which cells", "where", "what is shown"
AS_CONFIGURED = "as configured"


@dataclass(frozen=True, kw_only=True)
class AxesFlags:
    """Replace an axis of the configuration."""

    architecture: Annotated[tuple[str, ...] | None, Flag(value="NAME", otherwise=AS_CONFIGURED)] = None
    """Architectures."""
    method: Annotated[tuple[str, ...] | None, Flag(value="NAME", otherwise=AS_CONFIGURED)] = None
    """Unlearning methods."""
    scope: Annotated[tuple[str, ...] | None, Flag(value="SCOPE", otherwise=AS_CONFIGURED)] = None
    """Layer scopes."""
    attack: Annotated[tuple[str, ...] | None, Flag(value="NAME", otherwise=AS_CONFIGURED)] = None
    """Attacks."""
    forget_set: Annotated[tuple[str, ...] | None, Flag(value="NAME", otherwise=AS_CONFIGURED)] = None
    """Forget sets."""
    seed: Annotated[tuple[int, ...] | None, Flag(value="N", otherwise=AS_CONFIGURED)] = None
    """Seeds."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Audit unlearning methods against retraining, over a whole grid. Running again resumes."""

    source: Annotated[str, Flag(value="CONFIGURATION", positional=True)] = "quick"
    """TOML file, or a preset that ships with Lethe."""
    axes: AxesFlags = field(default_factory=AxesFlags)
    set: Annotated[tuple[str, ...], Flag(value="KEY=VALUE", repeated=True, otherwise=AS_CONFIGURED)] = ()
    """Any other key of the configuration, such as methods.scrub.lr=0.01; may be given again."""
    only: Annotated[str, Flag(value="AXIS=VALUE,...", group=CELLS, otherwise="all")] = ""
    """Run the cells that match, such as "method=scrub,scope=last-*"; their references stay."""
    limit: Annotated[int, Flag(value="CELLS", group=CELLS, otherwise="all", smallest=0)] = 0
    """Run at most that many audited cells."""
    tune: Annotated[int | None, Flag(value="TRIALS", group=CELLS, otherwise=AS_CONFIGURED, smallest=0)] = None
    """Before the audit, give every method that many trials per architecture and scope."""
    rerun: Annotated[Literal["none", "failed", "all"], Flag(group=CELLS)] = "none"
    """Compute again what has failed, or everything that is selected."""
    out: Annotated[str, Flag(value="RESULTS", group=PLACE)] = "results"
    """Results directory: a path or URI that every node can reach."""
    backend: Annotated[
        Literal["inline", "local", "cluster"] | None, Flag(group=PLACE, otherwise=AS_CONFIGURED)
    ] = None
    """This process, Ray on this machine, or the running Ray cluster."""
    dry_run: Annotated[bool, Flag(group=SHOWN)] = False
    """Print the plan and stop."""
    probe: Annotated[bool, Flag(group=SHOWN)] = False
    """With --dry-run: time a small sample of each kind of stage that has not run in these results yet."""
    display: Annotated[DisplayName, Flag(group=SHOWN)] = "auto"
    """How progress is shown on stderr."""
    describe: Annotated[str | None, Flag(value="TOPIC", group=SHOWN, otherwise="nothing")] = None
    """Explain and stop: methods, attacks, datasets, forget_sets, config, or one entry (methods.scrub)."""
    report: Annotated[bool, Flag(group=SHOWN)] = True
    """Write report.html into a local results directory at the end."""
    format: Annotated[Literal["table", "json"], Flag(group=SHOWN)] = "table"
    """Form of the plan and of the closing summary on stdout."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    command = parse(Command, arguments, prog="python -m orchestrator.sweep", examples=EXAMPLES)
    if command.describe is not None:
        import_configured(command)
        _print(describe(command.describe))
        return Exit.FINISHED
    config = configure(command)
    import_plugins(config.plugins)
    plan = planned(config, command)
    store = Store(command.out)
    if command.probe and not command.dry_run:
        raise AuditError("--probe: expected together with --dry-run")
    if command.dry_run:
        return _show_plan(plan, store, command)
    store.check_ready()
    return run(plan, store, command)


def planned(config: SweepConfig, command: Command) -> Plan:
    """The plan of a configuration with the cells that `--only` and `--limit` leave."""
    plan = make_plan(config)
    return select(plan, command.only, command.limit) if command.only or command.limit else plan


def configure(command: Command) -> SweepConfig:
    """Defaults, then the file, then the flags."""
    overrides = dict(parse_assignment(text) for text in command.set)
    for axis, values in vars(command.axes).items():
        if values is not None:
            overrides[f"axes.{axis}"] = list(values)
    if command.backend:
        overrides["execution.backend"] = command.backend
    if command.tune is not None:
        overrides["tuning.trials"] = command.tune
    return load(command.source, overrides)


def import_configured(command: Command) -> None:
    """Import the plug-ins of the configuration, so that `--describe` knows them."""
    import_plugins(configure(command).plugins)


def _show_plan(plan: Plan, store: Store, command: Command) -> int:
    searches = None
    if plan.config.tuning.trials:
        search = tuning.plan_search(plan)
        searches = tuning.summarise(search, store)
        plan = planned(tuning.with_choices(plan.config, search, store), command)
    missing = missing_cells(plan, store, command.rerun)
    summary = cost.summarise(
        plan,
        store,
        missing=missing,
        past=_past(plan, store, missing, command),
        forgotten=frozenset().union(*to_forget(plan, store, missing, command.rerun)),
        tuning=searches,
    )
    _print([json.dumps(summary, indent=2)] if command.format == "json" else cost.plan_lines(summary))
    return Exit.FINISHED


def _past(plan: Plan, store: Store, missing: list[Cell], command: Command) -> Past:
    """What stages took in these results, with a probe of the others where one is wanted."""
    past = read_past(store)
    if not command.probe:
        return past
    from orchestrator.estimate.probe import probe  # torch: a plan without a probe does without

    return probe(plan, missing, past)


def missing_cells(plan: Plan, store: Store, rerun: str) -> list[Cell]:
    """Cells without a row, or whose other rows are lost; with `rerun` also those to be replaced."""
    done = whole_cells(plan, store) if rerun != "all" else set()
    if rerun == "failed":
        done -= failed_rows(store, "cells")
        broken = failed_groups(store)
        done -= {cell.cell_id for cell in plan.cells if broken and plan.stages(cell) & broken}
    return [cell for cell in plan.cells if cell.cell_id not in done]


def whole_cells(plan: Plan, store: Store) -> set[str]:
    """Ids of the cells that failed, or that finished and still have all that they wrote.

    A file that was removed or moved aside since (`query --repair`) takes its cell with it.
    """
    plain = {cell.cell_id for cell in plan.cells if cell.attack == "none"}
    unrecorded = plan.models.keys() - store.keys("models")
    on_unrecorded = {cell.cell_id for cell in plan.cells if cell.subject.id in unrecorded}
    measured = store.keys("metrics") & store.keys("examples")
    lost = (plain - store.keys("layers")) | on_unrecorded
    done = store.keys("cells")
    return (done & measured) - lost | (failed_rows(store, "cells") & done)


def discard_unrecorded(plan: Plan, store: Store) -> None:
    """Remove weights whose row in `models` is lost or was never written, so that both are made again."""
    for model_id in (plan.models.keys() & store.blob_keys("weights")) - store.keys("models"):
        store.delete_blob("weights", model_id)


def failed_rows(store: Store, table: Literal["cells", "models"]) -> set[str]:
    """Ids of the cells, or of the models and the work on shadow models, whose row says that they failed."""
    key = TABLES[table].key
    rows = store.read(table).select([key, "status"]).to_pylist()
    return {row[key] for row in rows if row["status"] == "failed"}


def failed_groups(store: Store) -> set[str]:
    """Ids of the groups of shadow models of which one failed: their cells rest on fewer."""
    table = store.read("models").select(["parent_id", "kind", "status"]).to_pylist()
    return {row["parent_id"] for row in table if (row["kind"], row["status"]) == ("shadow", "failed")}


def missing_models(plan: Plan, store: Store, cells: list[Cell]) -> list[ModelSpec]:
    """Models to train from scratch for the given cells, costliest kinds spread by their order."""
    wanted = plan.only(cell.cell_id for cell in cells).trained()
    stored = store.blob_keys("weights")
    return [spec for spec in wanted if spec.model_id not in stored]


def to_forget(
    plan: Plan, store: Store, cells: list[Cell], rerun: str
) -> tuple[set[str], dict[str, ShadowGroup]]:
    """Models, and shadow models by their key, that are made again for some cells: those that failed, or all."""
    if rerun == "none":
        return set(), {}
    part = plan.only(cell.cell_id for cell in cells)
    models, shadows = set(part.models), shadow_keys(part)
    if rerun == "all":
        return models, shadows
    failed = failed_rows(store, "models")
    return models & failed, {key: shadows[key] for key in shadows.keys() & failed}


def forget_results(plan: Plan, store: Store, cells: list[Cell], rerun: str) -> None:
    """Remove what is to be computed again: rows of cells, and the models behind them."""
    store.delete_all("cells", [cell.cell_id for cell in cells])
    wanted, shadows = to_forget(plan, store, cells, rerun)
    # Observations first: a kill in between leaves rows of models that are then written again.
    for key, group in shadows.items():
        store.delete("observations", key, **path_of(group))
    store.delete_all("models", wanted | shadows.keys())
    for model_id in wanted:
        store.delete_blob("weights", model_id)


def shadow_keys(plan: Plan) -> dict[str, ShadowGroup]:
    """Key in the results of every shadow model of every group."""
    sizes = {name: shadows.layout.num_shadows for name, shadows in plan.shadow_sets.items()}
    return {g.key(j): g for g in plan.shadow_groups.values() for j in range(sizes[g.architecture])}


def run(plan: Plan, store: Store, command: Command) -> int:
    """Search what is to be tuned, compute what is missing and print what came out."""
    clock = time.perf_counter()
    stop = threading.Event()
    with display(command.display) as listener, interruptible(stop, listener):

        def search(trials: Plan, results: Store) -> None:
            results.check_ready()
            compute(trials, results, rerun="none", listener=listener, stop=stop)
            tidy(results, listener, stop)

        if plan.config.tuning.trials:
            config = tuning.tuned(plan, store, search)
            if config is None:
                listener(Event(kind="note", name="tuning has not ended: nothing is audited yet"))
            else:
                plan = planned(config, command)
                compute(plan, store, rerun=command.rerun, listener=listener, stop=stop)
        else:
            compute(plan, store, rerun=command.rerun, listener=listener, stop=stop)
        tidy(store, listener, stop)
    return conclude(plan, store, command, seconds=time.perf_counter() - clock, stopped=stop.is_set())


def compute(plan: Plan, store: Store, *, rerun: str, listener: Listener, stop: threading.Event) -> None:
    """Compute what is missing of a plan on the configured backend."""
    started = datetime.now(UTC)
    cells = missing_cells(plan, store, rerun)
    if rerun != "none":
        forget_results(plan, store, cells, rerun)
    if not cells:
        return
    discard_unrecorded(plan, store)
    for line in (*plan.notes, *provenance.changed_plugins(plan, store)):
        listener(Event(kind="note", name=line))
    run_id = provenance.run_identity(plan.config, started)
    _write_run(plan, store, run_id, started)
    listener(Event(kind="note", name=f"{run_id}: {len(cells)} cells, results in {store.root}"))
    new = retained_copies.unrecorded(plan.data, store)
    if new:
        listener(Event(kind="note", name=f"looking for copies that stay of forget sets: {', '.join(new)}"))
    for warning in retained_copies.write_forget_sets(plan.data, store, new, dataset=plan.config.data.name):
        listener(Event(kind="note", name=warning))
    work = Work(
        plan=plan,
        store=store,
        run_id=run_id,
        models=missing_models(plan, store, cells),
        cells=cells,
        listener=listener,
        stop=stop,
    )
    listener(announcement(work))
    make_backend(plan.config.execution.backend).run(work)


def announcement(work: Work) -> Event:
    """What a run will do, and how long each stage may take where such stages have run."""
    shadows = shadow_batches(work) if needs_shadows(work) else []
    found = cost.stages(
        work.plan,
        read_past(work.store, sizes=False),
        models=work.models,
        shadows=shadows,
        cells=work.cells,
        store=work.store,
    )
    workers = cost.worker_count(work.plan.config.execution)
    return Event(kind="stages", name=work.run_id, stages=found, workers=workers)


def tidy(store: Store, listener: Listener, stop: threading.Event) -> None:
    """Merge the small files of a sweep that has come to its end; what is left as it is can be read all the same."""
    if stop.is_set():
        return
    try:
        merged = store.compact(at_least=SMALL_FILES)
    except AuditError as error:
        listener(Event(kind="note", name=f"small files are not merged: {one_line(error)}"))
    else:
        if merged:
            listener(Event(kind="note", name=f"merged {merged} small files"))


def _write_run(plan: Plan, store: Store, run_id: str, started: datetime) -> None:
    counts = {"cells": len(plan.cells), "models": len(plan.models)}
    store.write("runs", run_id, [provenance.run_row(plan, run_id=run_id, started=started, counts=counts)])
    cell_ids = [cell.cell_id for cell in plan.cells]
    store.put_blob("plans", run_id, json.dumps({"cell_ids": cell_ids}).encode())
    layouts = [shadows.layout for shadows in plan.shadow_sets.values()]
    for canaries in {layout.canaries for layout in layouts if layout.canaries is not None}:
        store.write("canaries", canaries.digest, canary_rows(plan, canaries))


def conclude(plan: Plan, store: Store, command: Command, *, seconds: float, stopped: bool) -> int:
    """Print the leaderboard, failures and where results lie; return the exit code."""
    wanted = {cell.cell_id for cell in plan.cells}
    failed = failed_rows(store, "cells") & wanted
    done = store.keys("cells") & wanted
    print_leaderboard(command.out, as_json=command.format == "json")
    lines = [
        f"{len(done) - len(failed)} of {len(wanted)} cells finished, {len(failed)} failed, {seconds:.0f} s",
        f"results in {command.out}: python -m orchestrator.query leaderboard --results {command.out}",
    ]
    if command.report and done and not stopped and "://" not in command.out:
        from orchestrator.report.write import build, write_text  # matplotlib: the plan can do without

        page = Path(command.out) / "report.html"
        write_text(page, build(command.out)[0], flag="--out")
        lines.append(f"report in {page}")
    broken = failed_shadows(plan, store)
    if broken:
        lines.append(
            f"{broken} trainings and unlearnings of shadow models failed: cells rest on what is left (metric "
            "runs_missing)"
        )
    if failed or broken:
        lines.append(f"failures: python -m orchestrator.query failures --results {command.out}")
    if stopped:
        lines.append("interrupted: the same command goes on where it stopped")
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201
    if stopped:
        return Exit.INTERRUPTED
    return Exit.CELLS_FAILED if failed or broken or wanted - done else Exit.FINISHED


def failed_shadows(plan: Plan, store: Store) -> int:
    """Shadow models of the plan that failed in a group: in training, or under one method on some draw."""
    return len(shadow_keys(plan).keys() & failed_rows(store, "models")) if plan.shadow_groups else 0


@contextlib.contextmanager
def interruptible(stop: threading.Event, listener: Listener) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP: the first lets running cells finish, the second stops at once."""

    def ask(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        name = signal.Signals(number).name
        if name == "SIGHUP":
            _leave_terminal(terminals)
        listener(Event(kind="stopping", name=f"{name}: finishing what runs; once more stops at once"))

    terminals = [stream.fileno() for stream in (sys.stdout, sys.stderr) if stream.isatty()]
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # not under nohup
        signals.append(signal.SIGHUP)
    before: Mapping[signal.Signals, Any] = {s: signal.signal(s, ask) for s in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_terminal(terminals: list[int]) -> None:
    """Write to nowhere in place of a terminal that has gone, where every write would fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in terminals:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _print(lines: list[str]) -> None:
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    sys.exit(run_command(main))
