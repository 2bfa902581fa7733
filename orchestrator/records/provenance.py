"""Where results come from: code, configuration, packages, machine. Written once for every run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import unicodedata
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator.config.settings import SweepConfig, canonical, digest
from orchestrator.plan.cells import Plan
from orchestrator.store.json_columns import json_column
from orchestrator.store.schema import SCHEMA_VERSION
from orchestrator.store.store import Store
from tasks.errors import AuditError

_PACKAGES = (
    "accelerate",
    "duckdb",
    "lethe",
    "numpy",
    "pyarrow",
    "ray",
    "scikit-learn",
    "timm",
    "torch",
    "torchattacks",
)


def run_identity(config: SweepConfig, started: datetime, ordinal: int) -> str:
    """A readable name, `name-YYYYMMDD-HHMMSS-<6 digits of a digest>`: another for each run, whatever the clock says.

    Of the audit's name it has what may name a file anywhere: ASCII letters, digits and `_.=+-`, up to 80.
    """
    plain = unicodedata.normalize("NFKD", config.name).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", plain).strip("-._=+")[:80] or "audit"
    return f"{name}-{started:%Y%m%d-%H%M%S}-{digest([config, ordinal], 6)}"


def run_row(
    plan: Plan, *, run_id: str, ordinal: int, started: datetime, planned: dict[str, Any]
) -> dict[str, Any]:
    """The row of `runs`.

    Args:
        plan: what the run asks for.
        run_id: its name.
        ordinal: its place among the runs.
        started: when.
        planned: counts, by name, and what the plan says (`notes`).
    """
    config = plan.config
    commit, dirty, difference = git_state(Path(__file__).parent)
    return {
        "run_id": run_id,
        "ordinal": ordinal,
        "name": config.name,
        "started_at": started.astimezone(UTC),
        "git_commit": commit,
        "git_dirty": dirty,
        "diff_sha256": difference,
        "config_digest": digest(config, 64),
        "config_json": canonical(config),
        "packages_json": json.dumps({p: _version(p) for p in _PACKAGES}, sort_keys=True),
        "plugins_json": json.dumps(plan.plugins, sort_keys=True),
        "host_json": json.dumps(host(), sort_keys=True),
        "devices_json": json.dumps(devices(), sort_keys=True),
        "dataset": config.data.name,
        "dataset_digest": plan.data.digest,
        "splits_digest": plan.data.splits.digest,
        "seeds_json": json.dumps(list(config.axes.seed)),
        "answers_json": canonical(plan.answers.rows()),
        "bases_json": json.dumps([base._asdict() for base in plan.bases]),
        "plan_json": json.dumps(planned, sort_keys=True),
        "schema_version": SCHEMA_VERSION,
    }


def check_shared(store: Store) -> None:
    """Check that this process finds the run which the driver wrote before any work began.

    Raises:
        AuditError: it does not: results would be written where the driver never sees them.
    """
    if not store.keys("runs"):
        raise AuditError(
            f"--out: expected a directory or URI that every node reaches under this name, got {store.root}: "
            f"{platform.node()} does not see the run there"
        )


def check_plugins(plan: Plan, store: Store) -> None:
    """Check that this process has imported the plug-ins of the driver, which wrote their digests with the run.

    Raises:
        AuditError: this machine has another copy of one.
    """
    mine = digest(plan.config, 64)
    runs = [row for row in _runs(store) if row["config_digest"] == mine]
    expected = runs[0]["plugins"] if runs else {}
    other = [name for name in plan.plugins if expected.get(name, plan.plugins[name]) != plan.plugins[name]]
    if other:
        raise AuditError(
            f"plugins: {platform.node()} has another copy of '{other[0]}', or of a module that it imports, than the "
            "machine that started the sweep; copy the same files to every node"
        )


def changed_plugins(plan: Plan, store: Store) -> list[str]:
    """A line for each plug-in that is not what the latest run with it recorded."""
    runs = _runs(store) if plan.plugins and store.files.usable() else []
    lines = []
    for name, current in sorted(plan.plugins.items()):
        recorded = (row["plugins"].get(name) for row in runs)
        latest = next((content for content in recorded if content), current)
        if latest != current:
            count = len(plan.resting_on(name))
            lines.append(f"plug-in {name} changed: its {count:,} cells are computed again")
    return lines


def _runs(store: Store) -> list[dict[str, Any]]:
    """Rows of `runs`, the latest first."""
    rows = store.read("runs").select(["ordinal", "run_id", "config_digest", "plugins_json"]).to_pylist()
    rows.sort(key=lambda row: (row["ordinal"], row["run_id"]), reverse=True)
    return [
        {**row, "plugins": json_column(row["plugins_json"], dict, where="runs.plugins_json")} for row in rows
    ]


def git_state(folder: Path) -> tuple[str | None, bool | None, str | None]:
    """Full commit, whether the tree differs from it, and the SHA-256 of the difference; None outside git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD").decode().strip()
        difference = _git(folder, "diff", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None, None, None
    return commit, bool(difference), hashlib.sha256(difference).hexdigest() if difference else None


def _git(folder: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=10).stdout


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def host() -> dict[str, Any]:
    """The driver's machine. No user names, no environment: secrets live there."""
    return {
        "hostname": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def devices(proc: Path = Path("/proc")) -> dict[str, Any]:
    """Processor and NVIDIA accelerators of the driver's machine, read without torch.

    The device that each model was made on is in the `models` table.
    """
    drivers = sorted((proc / "driver/nvidia/gpus").glob("*/information"))
    return {
        "cpu": _named(proc / "cpuinfo", "model name") or platform.processor() or platform.machine(),
        "gpus": [_named(path, "Model") for path in drivers],
    }


def _named(path: Path, key: str) -> str | None:
    """The value behind the first `key : value` line of a file of /proc."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)
