"""What is asked for: a configuration with its changes, and a part of its plan."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.config.settings import SweepConfig, load
from orchestrator.plan.cells import Plan, select
from orchestrator.plan.device import check_present
from orchestrator.plan.grid import make_plan
from tasks.errors import AuditError


def configured(
    source: str | Path | SweepConfig,
    changes: Mapping[str, Any] | None = None,
    *,
    backend: str | None = None,
    tune: int | None = None,
) -> SweepConfig:
    """The configuration of an audit: defaults, then the source, then what is changed.

    Args:
        source: path of a TOML file, the name of a preset, or a configuration.
        changes: values by dotted key ("axes.seed", "methods.scrub.lr").
        backend: another `execution.backend`.
        tune: another `tuning.trials`.

    Raises:
        AuditError: a file, a key or a value is wrong.
    """
    overrides = dict(changes or {})
    if backend is not None:
        overrides["execution.backend"] = backend
    if tune is not None:
        overrides["tuning.trials"] = tune
    return load(source if isinstance(source, SweepConfig) else str(source), overrides)


def check_out(out: str | Path) -> None:
    """Refuse a results directory without a name.

    Raises:
        AuditError: it has none.
    """
    if not str(out).strip():
        raise AuditError(f"out: expected a results directory, got '{out}'")


def planned(config: SweepConfig, *, only: str = "", limit: int = 0) -> Plan:
    """The plan of a configuration.

    Args:
        config: the audit, whose plug-ins have been imported.
        only: cells to keep (`method=scrub,scope=last-*`), with their references; empty: all.
        limit: audited cells to keep, at most; 0: all.

    Raises:
        AuditError: this machine lacks the device on which it is to be done, or Ray cannot be run by this interpreter;
            the configuration has no plan, or no cell is left.
    """
    check_present(config.execution)
    if config.execution.backend != "inline" and sys.flags.optimize > 1:
        raise AuditError(
            "execution.backend: Ray cannot be imported without docstrings; leave out python -OO and PYTHONOPTIMIZE=2, "
            "or take --backend inline"
        )
    plan = make_plan(config)
    return select(plan, only, limit) if only or limit else plan
