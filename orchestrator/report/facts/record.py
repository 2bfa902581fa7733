"""What did not work, where the numbers come from, and where the time went."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.progress.duration import measured_duration
from orchestrator.progress.status import read_status
from orchestrator.report.documents import began
from orchestrator.report.finished import given_files, retraining
from orchestrator.results.charts.answers import Answers
from orchestrator.store.json_columns import json_column
from orchestrator.store.purges import purge_line

IDS_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Equal reasons counted together, with one place where each happened."""

    times: int
    what: str
    error: str
    message: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run behind the plan."""

    run_id: str
    facts: tuple[tuple[str, str], ...]
    """Name and value."""
    configuration: str
    """Resolved, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Copies:
    """A forget set of which copies stay in the retain set: whether these are forgotten cannot be decided."""

    forget_set: str
    examples: int
    exact: int
    near: int
    ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where time of the audit itself went."""

    stage: str
    device: str
    times: int
    took: str
    on_device: str
    memory: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """All of it."""

    counts: tuple[tuple[str, str], ...]
    """How much the results hold: name and value."""
    failures: tuple[Failure, ...]
    runs: tuple[Run, ...]
    copies: tuple[Copies, ...]
    began: tuple[str, ...]
    """What language models began with."""
    files: tuple[str, ...]
    """Models that were read from files, a phrase for each."""
    retraining: str
    """What finished models were compared with; empty where none was given."""
    stages: tuple[Stage, ...]


def record(answers: Answers) -> Record:
    """Failures, runs, copies that stay, and stages."""
    return Record(
        counts=_counts(answers),
        failures=tuple(_failure(row) for row in answers.own("failure_kinds")),
        runs=tuple(_run(row) for row in answers.own("plan_runs")),
        copies=tuple(_copies(row) for row in answers.rows("retained_copies") if row["exact"] or row["near"]),
        began=tuple(began(answers.results)),
        files=tuple(given_files(answers.results)),
        retraining=retraining(answers.results),
        stages=tuple(_stage(row) for row in answers.own("stage_totals")),
    )


COUNTED = {
    "methods": "methods audited",
    "architectures": "architectures",
    "forget_sets": "forget sets",
    "seeds": "seeds",
    "finished": "cells finished",
    "failed": "cells failed",
}


def _counts(answers: Answers) -> tuple[tuple[str, str], ...]:
    (row,) = answers.own("counts")
    store = answers.results.store
    left = read_status(store, now=datetime.now(UTC)).left
    missing = [("cells missing", f"{left}, the same sweep command computes them")] if left else []
    line = purge_line(store)
    deleted = [("deleted since", line)] if line else []
    return (*((text, str(row[name])) for name, text in COUNTED.items()), *missing, *deleted)


PLANNED = {"cells_before": "cells measured before"}
"""Counts of a plan in words, where their names are none."""


def _failure(row: Mapping[str, Any]) -> Failure:
    names = ("architecture", "method", "scope", "attack", "forget_set", "seed")
    return Failure(
        times=row["times"],
        what=row["what"],
        error=row["error_type"] or "unknown",
        message=row["error"] or "",
        where=", ".join(str(row[name]) for name in names if row[name] not in (None, "")),
    )


def _run(row: Mapping[str, Any]) -> Run:
    def held(column: str, kind: Any) -> Any:
        return json_column(row[column], kind, where=f"runs.{column}")

    plan = held("plan_json", dict)
    notes = plan.pop("notes", [])
    facts = {
        "started": f"{row['started_at']:%Y-%m-%d %H:%M:%S} UTC",
        "planned": ", ".join(f"{count} {PLANNED.get(name, name)}" for name, count in plan.items() if count),
        "the plan said": "; ".join(map(str, notes if isinstance(notes, list) else [])),
        "commit": _commit(row),
        "configuration": (row["config_digest"] or "unknown")[:16],
        "data set": f"{row['dataset'] or 'unknown'} {(row['dataset_digest'] or '')[:16]}, split "
        f"{(row['splits_digest'] or '')[:16]}",
        "seeds": ", ".join(map(str, held("seeds_json", list))),
        "host": _listed(held("host_json", (dict, list))),
        "devices": _listed(held("devices_json", (dict, list))),
        "packages": _listed(held("packages_json", (dict, list))),
    }
    return Run(
        run_id=row["run_id"],
        facts=tuple((name, value) for name, value in facts.items() if value),
        configuration=json.dumps(held("config_json", dict), indent=1),
    )


def _commit(row: Mapping[str, Any]) -> str:
    if not row["git_commit"]:
        return "unknown: the code was not in a git checkout with a commit"
    dirty = f", with changes of SHA-256 {(row['diff_sha256'] or '')[:16]}" if row["git_dirty"] else ""
    return f"{row['git_commit']}{dirty}"


def _listed(found: Any) -> str:
    if isinstance(found, dict):
        shown = {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in found.items()}
        return ", ".join(f"{name} {value}" for name, value in shown.items() if value not in (None, ""))
    return ", ".join(map(str, found))


def _copies(row: Mapping[str, Any]) -> Copies:
    return Copies(
        forget_set=row["forget_set"],
        examples=row["examples"],
        exact=row["exact"],
        near=row["near"],
        ids=tuple(row["example_ids"][:IDS_SHOWN]),
    )


def _stage(row: Mapping[str, Any]) -> Stage:
    return Stage(
        stage=row["stage"],
        device=row["device"],
        times=int(row["stages"]),
        took=measured_duration(row["seconds"]),
        on_device=measured_duration(row["device_seconds"]),
        memory=f"{row['peak_bytes'] / 2**20:.0f} MiB" if row["peak_bytes"] else "\N{EN DASH}",
    )
