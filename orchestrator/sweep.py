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

import tyro

from orchestrator import cost, provenance, tuning
from orchestrator.backends import Work, make_backend
from orchestrator.config import SweepConfig, load, parse_assignment
from orchestrator.describe import describe
from orchestrator.errors import Exit, run_command
from orchestrator.events import Event, Listener
from orchestrator.grid import make_plan
from orchestrator.leaderboard import print_leaderboard
from orchestrator.plan import Cell, ModelSpec, Plan, select
from orchestrator.progress import DisplayName, display
from orchestrator.store import Store
from tasks.registry import import_plugins

EXAMPLES = """examples:
  python -m orchestrator.sweep                             audit the embedded digits in about three minutes
  python -m orchestrator.sweep audit.toml --dry-run        what would run, what sharing saves, how long
  python -m orchestrator.sweep audit.toml --axes.seed 0 1 2 --only "method=scrub" --backend cluster
"""


@dataclass(frozen=True, kw_only=True)
class AxesFlags:
    """Replace an axis of the configuration."""

    architecture: tuple[str, ...] | None = None
    """Architectures."""
    method: tuple[str, ...] | None = None
    """Unlearning methods."""
    scope: tuple[str, ...] | None = None
    """Layer scopes."""
    attack: tuple[str, ...] | None = None
    """Attacks."""
    forget_set: tuple[str, ...] | None = None
    """Forget sets."""
    seed: tuple[int, ...] | None = None
    """Seeds."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Audit unlearning methods against retraining, over a whole grid. Running again resumes."""

    source: Annotated[str, tyro.conf.Positional] = "quick"
    """TOML file, or a preset that ships with Lethe."""
    axes: AxesFlags = field(default_factory=AxesFlags)
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="KEY=VALUE")] = ()
    """Any other key of the configuration, such as methods.scrub.lr=0.01; may be given again."""
    out: str = "results"
    """Results directory: a path or URI that every node can reach."""
    backend: Literal["inline", "local", "cluster"] | None = None
    """Where to run: this process, Ray on this machine, or the running Ray cluster."""
    dry_run: bool = False
    """Print the plan and stop."""
    only: str = ""
    """Run the cells that match, such as "method=scrub,scope=last-*"; their references stay."""
    limit: int = 0
    """Run at most that many audited cells; 0 runs all."""
    tune: int = 0
    """Before the audit, give every method that many trials per architecture and scope; 0 as configured."""
    rerun: Literal["none", "failed", "all"] = "none"
    """Compute again what has failed, or everything that is selected."""
    display: DisplayName = "auto"
    """How progress is shown on stderr."""
    describe: str | None = None
    """Explain and stop: methods, attacks, datasets, forget_sets, config, or one entry (methods.scrub)."""
    report: bool = True
    """Write report.html into a local results directory at the end."""
    format: Literal["table", "json"] = "table"
    """Form of the plan and of the closing summary on stdout."""


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    command = tyro.cli(Command, prog="python -m orchestrator.sweep", description=_description())
    if command.describe is not None:
        import_configured(command)
        _print(describe(command.describe))
        return Exit.FINISHED
    config = configure(command)
    import_plugins(config.plugins)
    plan = planned(config, command)
    store = Store(command.out)
    if command.dry_run:
        return _show_plan(plan, store, command)
    store.check_ready()
    return run(plan, store, command)


def planned(config: SweepConfig, command: Command) -> Plan:
    """The plan of a configuration with the cells that `--only` and `--limit` leave."""
    plan = make_plan(config)
    return select(plan, command.only, command.limit) if command.only or command.limit else plan


def _description() -> str:
    return f"{Command.__doc__}\n\n{EXAMPLES}"


def configure(command: Command) -> SweepConfig:
    """Defaults, then the file, then the flags."""
    overrides = dict(parse_assignment(text) for text in command.set)
    for axis, values in vars(command.axes).items():
        if values is not None:
            overrides[f"axes.{axis}"] = list(values)
    if command.backend:
        overrides["execution.backend"] = command.backend
    if command.tune:
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
    summary = cost.summarise(plan, store, missing=missing_cells(plan, store, "none"), tuning=searches)
    _print([json.dumps(summary, indent=2)] if command.format == "json" else cost.plan_lines(summary))
    return Exit.FINISHED


def missing_cells(plan: Plan, store: Store, rerun: str) -> list[Cell]:
    """Cells without a row, or whose other rows are lost; with `rerun` also those to be replaced."""
    done = whole_cells(plan, store) if rerun != "all" else set()
    if rerun == "failed":
        done -= failed_cells(store)
    return [cell for cell in plan.cells if cell.cell_id not in done]


def whole_cells(plan: Plan, store: Store) -> set[str]:
    """Ids of the cells that failed, or that finished and still have all that they wrote.

    A file that was removed or moved aside since (`query --repair`) takes its cell with it.
    """
    plain = {cell.cell_id for cell in plan.cells if cell.attack == "none"}
    unrecorded = plan.models.keys() - store.keys("models")
    on_unrecorded = {cell.cell_id for cell in plan.cells if cell.model_id in unrecorded}
    measured = store.keys("metrics") & store.keys("examples")
    lost = (plain - store.keys("layers")) | on_unrecorded
    done = store.keys("cells")
    return (done & measured) - lost | (failed_cells(store) & done)


def discard_unrecorded(plan: Plan, store: Store) -> None:
    """Remove weights whose row in `models` is lost or was never written, so that both are made again."""
    for model_id in (plan.models.keys() & store.blob_keys("weights")) - store.keys("models"):
        store.delete_blob("weights", model_id)


def failed_cells(store: Store) -> set[str]:
    """Ids of the cells whose row says that they failed."""
    table = store.read("cells").select(["cell_id", "status"]).to_pylist()
    return {row["cell_id"] for row in table if row["status"] == "failed"}


def missing_models(plan: Plan, store: Store, cells: list[Cell]) -> list[ModelSpec]:
    """Models to train from scratch for the given cells, costliest kinds spread by their order."""
    wanted = plan.only(cell.cell_id for cell in cells).trained()
    stored = store.blob_keys("weights")
    return [spec for spec in wanted if spec.model_id not in stored]


def forget_results(plan: Plan, store: Store, cells: list[Cell], *, models: bool) -> None:
    """Remove the rows that are to be computed again, and with `models` the models behind them."""
    store.delete_all("cells", [cell.cell_id for cell in cells])
    if models:
        wanted = plan.only(cell.cell_id for cell in cells).models
        store.delete_all("models", wanted)
        for model_id in wanted:
            store.delete_blob("weights", model_id)


def run(plan: Plan, store: Store, command: Command) -> int:
    """Search what is to be tuned, compute what is missing and print what came out."""
    clock = time.perf_counter()
    stop = threading.Event()
    with display(command.display) as listener, interruptible(stop, listener):

        def search(trials: Plan, results: Store) -> None:
            results.check_ready()
            compute(trials, results, rerun="none", listener=listener, stop=stop)

        if plan.config.tuning.trials:
            config = tuning.tuned(plan, store, search)
            if config is None:
                listener(Event(kind="note", name="tuning has not ended: nothing is audited yet"))
            else:
                plan = planned(config, command)
                compute(plan, store, rerun=command.rerun, listener=listener, stop=stop)
        else:
            compute(plan, store, rerun=command.rerun, listener=listener, stop=stop)
    return conclude(plan, store, command, seconds=time.perf_counter() - clock, stopped=stop.is_set())


def compute(plan: Plan, store: Store, *, rerun: str, listener: Listener, stop: threading.Event) -> None:
    """Compute what is missing of a plan on the configured backend."""
    started = datetime.now(UTC)
    cells = missing_cells(plan, store, rerun)
    if rerun != "none":
        forget_results(plan, store, cells, models=rerun == "all")
    if not cells:
        return
    discard_unrecorded(plan, store)
    run_id = provenance.run_identity(plan.config, started)
    _write_run(plan, store, run_id, started)
    listener(Event(kind="note", name=f"{run_id}: {len(cells)} cells, results in {store.root}"))
    work = Work(
        plan=plan,
        store=store,
        run_id=run_id,
        models=missing_models(plan, store, cells),
        cells=cells,
        listener=listener,
        stop=stop,
    )
    make_backend(plan.config.execution.backend).run(work)


def _write_run(plan: Plan, store: Store, run_id: str, started: datetime) -> None:
    counts = {"cells": len(plan.cells), "models": len(plan.models)}
    store.write("runs", run_id, [provenance.run_row(plan, run_id=run_id, started=started, counts=counts)])
    cell_ids = [cell.cell_id for cell in plan.cells]
    store.put_blob("plans", run_id, json.dumps({"cell_ids": cell_ids}).encode())
    for name, forget in plan.data.forget_sets.items():
        provenance_json = json.dumps(dict(forget.provenance), sort_keys=True, default=str)
        rows = [
            {
                "forget_set": name,
                "forget_digest": forget.digest,
                "example_id": int(i),
                "label": int(plan.data.labels.labels[i]),
                "provenance_json": provenance_json,
            }
            for i in forget.ids
        ]
        store.write("forget_sets", forget.digest, rows)


def conclude(plan: Plan, store: Store, command: Command, *, seconds: float, stopped: bool) -> int:
    """Print the leaderboard, failures and where results lie; return the exit code."""
    wanted = {cell.cell_id for cell in plan.cells}
    failed = failed_cells(store) & wanted
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
    if failed:
        lines.append(f"failures: python -m orchestrator.query failures --results {command.out}")
    if stopped:
        lines.append("interrupted: the same command goes on where it stopped")
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201
    if stopped:
        return Exit.INTERRUPTED
    return Exit.CELLS_FAILED if failed or wanted - done else Exit.FINISHED


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
        listener(Event(kind="note", name=f"{name}: finishing what runs; once more stops at once"))

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
