"""Outputs of models that a sweep made, fed back by files, give the numbers of the sweep to the last bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from orchestrator.outputs import __main__ as outputs
from orchestrator.results.connection import Results
from orchestrator.store.store import Store
from tests.support.commands import here
from tests.support.exported_outputs import export, measured
from tests.support.shadow_sweeps import copied
from tests.support.shadow_sweeps import sweep as shadow_sweep
from tests.support.sweeps import sweep, write_config

ATTACKS = ("u_lira_g1", "u_lira_g2", "retain_harm", "lira", "klom", "rank_test")


@pytest.fixture(scope="module")
def fed_back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the `results` of shadow models, their outputs in `files`, and what these gave in `given`."""
    folder = copied(tmp_path_factory.mktemp("shadows"))
    ran = shadow_sweep(folder, attack=str(list(ATTACKS)).replace("'", '"'))
    assert ran.returncode == 0, ran.stderr
    description = export(folder / "audit.toml", folder / "results", folder / "files")
    ran = here(outputs.main, description, "--out", folder / "given", "--display", "plain")
    assert ran.returncode == 0, ran.stderr
    return folder


def test_shadow_models_give_the_same_scores_klom_and_harm(fed_back: Path) -> None:
    ours, theirs = (measured(fed_back / name, ATTACKS, {}) for name in ("given", "results"))
    assert ours == theirs
    assert len(ours["metrics"]) > 100
    assert len(ours["examples"]) > 1000


def test_observations_are_the_sweeps(fed_back: Path) -> None:
    columns = ["method", "shadow", "draw", "example_id", "state", "phi"]
    tables = []
    for name in ("given", "results"):
        table = Store(str(fed_back / name)).read("observations")
        final = table.filter(table["epoch"].is_null()).select(columns)
        kept = [row for row in final.to_pylist() if row["method"] != "no_op"]
        tables.append(sorted(tuple(row.values()) for row in kept))
    assert tables[0] == tables[1]
    assert len(tables[0]) > 5000


def test_a_second_run_writes_nothing(fed_back: Path) -> None:
    def files() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in (fed_back / "given").rglob("*") if p.is_file()}

    before = files()
    ran = here(
        outputs.main, fed_back / "files" / "outputs.toml", "--out", fed_back / "given", "--display", "plain"
    )
    assert ran.returncode == 0, ran.stderr
    assert files() == before


def test_results_can_be_asked_and_are_whole(fed_back: Path) -> None:
    with Results(str(fed_back / "given")) as results:
        verdicts = results.query("verdict").to_pylist()
        (health,) = results.query("shadow_health").to_pylist()
        times = results.query("cost").to_pylist()
    assert {row["method"] for row in verdicts} >= {"finetune", "no_op"}
    assert (health["shadows"], health["unique_masks"]) == (16, 16)
    assert all(
        row["stage"] in ("attack", "score") for row in times
    )  # of what models took elsewhere nothing is known


def test_other_numbers_under_the_same_name_are_other_cells(fed_back: Path, tmp_path: Path) -> None:
    description = Path(shutil.copytree(fed_back / "files", tmp_path / "files")) / "outputs.toml"
    margins = np.load(tmp_path / "files" / "finetune.npy")
    np.save(tmp_path / "files" / "finetune.npy", margins + 1)
    text = description.read_text().replace(
        f"attacks = {list(ATTACKS)}".replace("'", '"'), 'attacks = ["rank_test"]'
    )
    description.write_text(text)
    out = tmp_path / "given"
    assert here(outputs.main, description, "--out", out).returncode == 0
    first = {row["cell_id"]: row["method"] for row in Store(str(out)).read("cells").to_pylist()}
    np.save(tmp_path / "files" / "finetune.npy", margins)
    assert here(outputs.main, description, "--out", out).returncode == 0
    second = {row["cell_id"]: row["method"] for row in Store(str(out)).read("cells").to_pylist()}
    assert [second[key] for key in second.keys() - first.keys()] == ["finetune"]
    with Results(str(out), "all") as results:  # and no number rests on both
        assert results.sql("select count(*) as n from plan_cells where method = 'finetune'").to_pylist() == [
            {"n": 1}
        ]


@pytest.mark.slow
def test_single_models_give_the_same_gaps(tmp_path: Path) -> None:
    changes = {'"none", "fgsm", "population"': '"none", "population"', "seed = [0]": "seed = [0, 1]"}
    changes |= {'scope = ["all", "head"]': 'scope = ["all"]'}
    config = write_config(tmp_path, **changes)
    ran = sweep(config, "--out", tmp_path / "results")
    assert ran.returncode == 0, ran.stderr
    description = export(config, tmp_path / "results", tmp_path / "files")
    ran = here(outputs.main, description, "--out", tmp_path / "given")
    assert ran.returncode == 0, ran.stderr
    names = {f"{method}_all": f"{method}_all" for method in ("finetune", "gradient_ascent")}
    attacks = ("none", "population")
    ours, theirs = (measured(tmp_path / name, attacks, names) for name in ("given", "results"))
    assert ours == theirs
    assert {row.split('"')[1] for row in ours["metrics"]} == {
        *("no_op", "retrain", "retrain_again"),
        *names,
    }
