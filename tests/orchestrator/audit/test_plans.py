"""Several sweeps in one directory: what is shown is what was asked for last, whatever was computed when."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator import run
from orchestrator.audit.outcome import Outcome
from orchestrator.records.provenance import run_identity
from orchestrator.report.certificate import as_page, certify
from orchestrator.report.subject import choose
from orchestrator.report.write import build
from orchestrator.results.connection import Results
from orchestrator.results.evidence import gather
from orchestrator.results.leaderboard import scoreboard
from orchestrator.store.runs import runs
from orchestrator.store.store import Store
from tasks.errors import AuditError, UnknownName
from tests.support.sweeps import changed, write_config

SMALL = {
    'method = ["finetune", "gradient_ascent"]': 'method = ["finetune"]',
    'scope = ["all", "head"]': 'scope = ["all"]',
    'attack = ["none", "fgsm", "population"]': 'attack = ["none"]',
}
OTHER = {"methods.finetune.lr": 0.5}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Outcome]]:
    """One sweep, the same with another learning rate and a second seed, the first again, and once more."""
    folder = tmp_path_factory.mktemp("sweeps")
    config, out = write_config(folder, changed(SMALL)), str(folder / "results")
    asked: list[dict[str, Any]] = [{}, {**OTHER, "axes.seed": [0, 1]}, {}, {}]
    return out, [run(config, out=out, set=changes) for changes in asked]


def audited(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["role"] == "audited"]


def test_the_first_sweep_again_shows_its_own_numbers(sweeps: tuple[str, list[Outcome]]) -> None:
    out, (first, other, again, _) = sweeps
    shown = {outcome.run: audited(scoreboard(out, outcome.run)) for outcome in (first, other, again)}
    assert shown[again.run] == shown[first.run] != shown[other.run]
    assert audited(scoreboard(out, None)) == shown[first.run]
    assert [row["seeds"] for row in (*shown[first.run], *shown[other.run])] == [1, 2]
    with Results(out) as latest, Results(out, other.run) as named:
        assert latest.query("verdict").equals(first.results.query("verdict"))
        assert not latest.query("verdict").equals(named.query("verdict"))
        assert gather(latest).findings == gather(first.results).findings != gather(named).findings


def test_pages_rest_on_the_plan_too(sweeps: tuple[str, list[Outcome]]) -> None:
    out, (first, other, _, _) = sweeps
    model = {
        outcome.run: next(c.subject.id for c in outcome.plan.cells if c.role == "audited" and c.seed == 0)
        for outcome in (first, other)
    }
    for chosen, held, absent in ((None, first.run, other.run), (other.run, other.run, first.run)):
        with Results(out, chosen) as results:
            asked = choose(results, forget_set="random:fraction=0.2", method="finetune")
            page = as_page(certify(results, asked))
        assert Store(out).read("models", model[held])["weights_digest"][0].as_py()[:16] in page
        assert Store(out).read("models", model[absent])["weights_digest"][0].as_py()[:16] not in page
    page, _ = build(out, other.run)
    assert f"--run {other.run}" in page
    with pytest.raises(AuditError, match="--run: expected the id of one run"):
        build(out, "all")


def test_a_plan_of_which_all_is_there_is_a_run_once(sweeps: tuple[str, list[Outcome]]) -> None:
    out, outcomes = sweeps
    recorded = runs(Store(out))
    assert [r.ordinal for r in recorded] == [1, 2, 3]
    assert [outcome.run for outcome in outcomes] == [*(r.run_id for r in recorded), recorded[-1].run_id]


def test_all_runs_stand_side_by_side_with_what_differs(sweeps: tuple[str, list[Outcome]]) -> None:
    out, _ = sweeps
    labels = {row["setting_label"]: row["seeds"] for row in audited(scoreboard(out, "all"))}
    assert sorted(labels.values()) == [1, 2]
    assert all(label.startswith("lr=") for label in labels)
    with Results(out, "all") as results:
        controls = [row for row in results.query("leaderboard").to_pylist() if row["role"] != "audited"]
    assert {row["seeds"] for row in controls} == {2}
    assert {row["setting_label"] for row in controls} == {""}


def test_a_run_that_is_not_there_is_named(sweeps: tuple[str, list[Outcome]]) -> None:
    out, (first, *_) = sweeps
    assert first.run
    with pytest.raises(UnknownName, match=f"--run: no run '{first.run[:-1]}'. Did you mean 'tiny-"):
        Results(out, first.run[:-1])


def test_two_runs_of_one_second_have_names_of_their_own(sweeps: tuple[str, list[Outcome]]) -> None:
    _, (first, *_) = sweeps
    started = runs(Store(sweeps[0]))[0].row["started_at"]
    assert run_identity(first.plan.config, started, 1) != run_identity(first.plan.config, started, 2)


def test_a_lost_plan_is_said_and_written_again(sweeps: tuple[str, list[Outcome]], tmp_path: Path) -> None:
    out, outcomes = sweeps
    copy = str(shutil.copytree(out, tmp_path / "results"))
    latest = outcomes[-1].run
    assert latest
    Store(copy).delete("plans", latest)
    with pytest.raises(AuditError, match=f"the plan of the run {latest} is lost"):
        Results(copy)
    again = run(outcomes[-1].plan.config, out=copy)
    assert again.run != latest
    with Results(copy) as results:
        assert results.query("verdict").equals(outcomes[0].results.query("verdict"))


def test_a_cell_that_never_ran_has_its_place_in_the_plan(
    sweeps: tuple[str, list[Outcome]], tmp_path: Path
) -> None:
    out, outcomes = sweeps
    copy = str(shutil.copytree(out, tmp_path / "results"))
    store, cell = Store(copy), next(one for one in outcomes[-1].plan.cells if one.role == "audited")
    [row] = store.read("cells", cell.cell_id).to_pylist()
    store.delete("cells", cell.cell_id)
    with Results(copy) as results:
        found = results.sql("from planned_cells").to_pylist()
    assert {one["state"] for one in found if one["cell_id"] != cell.cell_id} == {"finished"}
    [waiting] = [one for one in found if one["cell_id"] == cell.cell_id]
    assert waiting["state"] == "not run"
    assert {name: row[name] for name in waiting if name in row} == {
        name: value for name, value in waiting.items() if name != "state"
    }
