"""Plan an audit, run what is missing, and show what came out: `python -m orchestrator.sweep [FILE]`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from orchestrator.audit.api import run
from orchestrator.audit.missing import Rerun
from orchestrator.audit.outcome import Outcome
from orchestrator.audit.preview import preview
from orchestrator.audit.request import configured
from orchestrator.command_line import Flag, parse
from orchestrator.config.describe import describe
from orchestrator.config.plugins import load_plugins
from orchestrator.config.settings import SweepConfig, parse_assignment
from orchestrator.errors import Exit, printable, run_command
from orchestrator.estimate.lines import plan_lines
from orchestrator.progress.display import DisplayName
from orchestrator.results.leaderboard import print_leaderboard
from orchestrator.store.modes import Share
from orchestrator.store.paths import PAGE
from orchestrator.store.store import Store
from tasks.errors import AuditError

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
    rerun: Annotated[Rerun, Flag(group=CELLS)] = "none"
    """Compute again what has failed, or everything that is selected."""
    out: Annotated[str, Flag(value="RESULTS", group=PLACE)] = "results"
    """Results directory: a path or URI that every node can reach."""
    share: Annotated[
        Share | None, Flag(group=PLACE, otherwise="as the results are, and nobody where they are new")
    ] = None
    """Who may read the results besides you: nobody (modes 0600 and 0700) or your group (0640 and 0750)."""
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
    """Explain and stop: guide, methods, attacks, metrics, datasets, forget_sets, config, or one entry
    (methods.scrub)."""
    report: Annotated[bool, Flag(group=SHOWN)] = True
    """Write report.html into a local results directory at the end."""
    format: Annotated[Literal["table", "json"], Flag(group=SHOWN)] = "table"
    """Form of the plan and of the closing summary on stdout."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit code."""
    command = parse(Command, arguments, prog="python -m orchestrator.sweep", examples=EXAMPLES)
    if command.describe is not None:
        load_plugins(configure(command).plugins, named_by=command.source)  # so that their entries are known
        _print(describe(command.describe))
        return Exit.FINISHED
    if command.dry_run:
        return _show_plan(command)
    if command.probe:
        raise AuditError("--probe: expected together with --dry-run")
    outcome = run(
        command.source,
        out=command.out,
        share=command.share,
        backend=command.backend,
        set=changes(command),
        only=command.only,
        limit=command.limit,
        rerun=command.rerun,
        tune=command.tune,
        display=command.display,
    )
    _conclude(outcome, command)
    if outcome.stopped:
        return Exit.INTERRUPTED
    return Exit.FINISHED if outcome.finished else Exit.CELLS_FAILED


def changes(command: Command) -> dict[str, Any]:
    """What the flags change of the configuration, by dotted key."""
    found = dict(parse_assignment(text) for text in command.set)
    axes = {f"axes.{axis}": list(values) for axis, values in vars(command.axes).items() if values is not None}
    return found | axes


def configure(command: Command) -> SweepConfig:
    """Defaults, then the file, then the flags."""
    return configured(command.source, changes(command), backend=command.backend, tune=command.tune)


def _show_plan(command: Command) -> int:
    config = configure(command)
    load_plugins(config.plugins, named_by=command.source)
    estimate = preview(
        config,
        out=command.out,
        only=command.only,
        limit=command.limit,
        rerun=command.rerun,
        probe=command.probe,
    )
    in_json = command.format == "json"
    _print([json.dumps(estimate.to_dict(), indent=2)] if in_json else plan_lines(estimate))
    return Exit.FINISHED


def _conclude(outcome: Outcome, command: Command) -> None:
    """Print the leaderboard, failures and where results lie."""
    print_leaderboard(command.out, outcome.run, as_json=command.format == "json")
    done, failed = len(outcome.cells), len(outcome.failed)
    lines = [
        f"{done - failed} of {len(outcome.plan.cells)} cells finished, {failed} failed, {outcome.seconds:.0f} s",
        f"results in {command.out}: python -m orchestrator.query leaderboard --results {command.out}",
    ]
    if command.report and done and not outcome.stopped and "://" not in command.out:
        from orchestrator.report.write import build  # duckdb: the plan can do without

        files = Store(command.out).files
        files.write(PAGE, build(command.out, outcome.run)[0].encode())
        lines.append(f"report in {files.describe(PAGE)}")
    if outcome.failed_shadows:
        lines.append(
            f"{outcome.failed_shadows} trainings and unlearnings of shadow models failed: cells rest on what is "
            "left (metric runs_missing)"
        )
    if failed or outcome.failed_shadows:
        lines.append(f"failures: python -m orchestrator.query failures --results {command.out}")
    if outcome.lost:
        lines.append(
            f"{outcome.lost} records of earlier runs are missing: python -m orchestrator.query --verify --results "
            f"{command.out} names them, --repair records that they are lost"
        )
    if outcome.stopped:
        lines.append("interrupted: the same command goes on where it stopped")
    for line in lines:
        print(printable(line), file=sys.stderr)  # noqa: T201


def _print(lines: list[str]) -> None:
    print("\n".join(map(printable, lines)))  # noqa: T201


if __name__ == "__main__":
    sys.exit(run_command(main))
