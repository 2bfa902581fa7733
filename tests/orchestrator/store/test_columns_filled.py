"""Every column of every table holds something in some row of small forms of the presets."""

import shutil
from pathlib import Path

import pytest

from orchestrator.purge import main as purge
from orchestrator.store.store import Store
from orchestrator.store.tables import TABLES
from orchestrator.store.verify import repair
from tests.support import shadow_sweeps, sweeps

DIVERGES = '[methods.worst]\nbase = "gradient_ascent"\nlr = 1e30\n'
"""A method that fails, for what is recorded of failures."""
OF_A_CHECKOUT = {"git_commit", "git_dirty", "diff_sha256"}
"""Columns of `runs` that are empty outside a checkout with changes."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    """A tuned sweep, its search, and one with shadow models and canaries; a method fails in each."""
    tuned, shadows = tmp_path_factory.mktemp("tuned"), tmp_path_factory.mktemp("shadows")
    text = sweeps.changed(
        {
            'method = ["finetune", "gradient_ascent"]': 'method = ["finetune", "ssd", "worst"]',
            'scope = ["all", "head"]': 'scope = ["all"]',
            "[execution]": f"[tuning]\ntrials = 2\n{DIVERGES}[execution]",
        }
    )
    ran = sweeps.sweep(str(sweeps.write_config(tuned, text)), "--out", str(tuned / "results"))
    assert ran.returncode == 0, ran.stderr
    ran = shadow_sweeps.sweep(
        shadows,
        text=f"{shadow_sweeps.TEXT}{DIVERGES}",
        method='["finetune", "worst"]',
        attack='["one_run", "u_lira_g1"]',
        trajectories='true\ncanaries = 40\ncanary_kind = "out_of_distribution"',
    )
    assert ran.returncode == 1, ran.stderr
    roots = (tuned / "results", tuned / "results/search", shadows / "results", damaged(tuned))
    return [Store(str(path)) for path in roots]


def damaged(folder: Path) -> Path:
    """A copy of results of which a file was lost and has come back, and the rest is purged."""
    root = Path(shutil.copytree(folder / "results", folder / "damaged"))
    file = next((root / "layers").rglob("*.arrow"))
    file.rename(root / "aside")
    repair(Store(str(root)))
    (root / "aside").rename(file)
    repair(Store(str(root)))
    purge([str(root), "--yes"])
    return root


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_column_is_filled_in_some_row(table, stores):
    rows = [store.read(table.name) for store in stores]
    empty = {c for c in table.columns if all(found[c].null_count == len(found) for found in rows)}
    assert empty <= OF_A_CHECKOUT
