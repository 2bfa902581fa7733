"""A process on another node notices when its results directory is not the one of the driver."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.records.provenance import check_shared, run_row
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.support.sweeps import write_config


def test_a_directory_without_the_run_is_not_shared(tmp_path):
    with pytest.raises(
        AuditError, match=r"--out: expected a directory or URI that every node reaches .* got "
    ):
        check_shared(Store(str(tmp_path / "mine")))
    assert not Path(tmp_path / "mine").exists()


def test_the_directory_with_the_run_is(tmp_path):
    plan, store = make_plan(load(str(write_config(tmp_path)))), Store(str(tmp_path / "results"))
    row = run_row(
        plan, run_id="first", ordinal=1, started=datetime.now(UTC), planned={"cells": 1, "models": 1}
    )
    store.write("runs", "first", [row])
    check_shared(Store(store.root))
