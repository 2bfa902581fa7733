"""How a sweep is cut into Tune trials, and what its results become, without Ray."""

import pickle
import threading

import pytest
from ray.tune.execution import class_cache
from ray.tune.search import Searcher

from orchestrator.backends.on_ray import backend as cluster
from orchestrator.backends.on_ray import trials as tune_trials
from orchestrator.backends.on_ray.dispatch import HostDied
from orchestrator.backends.on_ray.trials import CellTrial, InOrder
from orchestrator.backends.work import Work
from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from orchestrator.store.files import CannotWrite
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tests.support.sweeps import write_config


class Pool:
    """Answers for the hosts; cells in `raises` raise."""

    def __init__(self, **raises):
        self.raises = raises
        self.ran = []

    def run(self, key, model_id, call, *, limit):
        self.ran.append((key, model_id))
        if key in self.raises:
            raise self.raises[key]
        return {"status": "finished", "seconds": 1.5, "samples": 7}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return make_plan(load(str(write_config(tmp_path_factory.mktemp("plan"))), {}))


def trial(pool, *cells):
    made = CellTrial.__new__(CellTrial)
    made.config = {"work": {"model_id": "m", "cells": list(cells)}}
    made.setup(made.config, pool=pool, run_id="r")
    return made


def work_of(plan, folder):
    seen = []
    work = Work(
        plan=plan,
        store=Store(str(folder)),
        run_id="r",
        models=[],
        shadows=[],
        cells=plan.cells,
        listener=seen.append,
        stop=threading.Event(),
    )
    return work, seen


def report(progress, *rows):
    progress.on_trial_result(0, [], None, {"rows": [dict(row) for row in rows]})


def row(cell, **changes):
    plain = {"status": "finished", "seconds": 2.0, "error_type": None, "error": None, "memory": None}
    return {"cell_id": cell.cell_id, **plain, **changes}


def test_a_trial_is_a_model_with_all_its_cells(plan):
    configs = [config["work"] for config in cluster.trials(plan.cells)]
    models = [config["model_id"] for config in configs]
    assert len(models) == len(set(models)) < len(plan.cells)
    of_cell = {cell.cell_id: cell.subject.id for cell in plan.cells}
    pairs = [(cell, config["model_id"]) for config in configs for cell in config["cells"]]
    assert len(pairs) == len(plan.cells)
    assert dict(pairs) == of_cell


def test_every_trial_is_suggested_once_and_in_order():
    searcher = InOrder([{"work": 1}, {"work": 2}])
    assert [searcher.suggest(f"{i}") for i in range(4)] == [
        {"work": 1},
        {"work": 2},
        Searcher.FINISHED,
        Searcher.FINISHED,
    ]
    pickle.dumps(searcher)


def test_short_cells_are_reported_together():
    pool = Pool()
    done = trial(pool, "a", "b", "c").step()
    assert [r["cell_id"] for r in done["rows"]] == ["a", "b", "c"]
    assert done["done"]
    assert pool.ran == [("a", "m"), ("b", "m"), ("c", "m")]
    assert done["rows"][0]["seconds"] == 1.5
    assert "samples" not in done["rows"][0]


def test_long_cells_are_reported_one_by_one_and_a_reused_actor_starts_anew(monkeypatch):
    monkeypatch.setattr(tune_trials, "REPORT_SECONDS", 0.0)
    made = trial(Pool(), "a", "b")
    assert [(len(s["rows"]), s["done"]) for s in (made.step(), made.step())] == [(1, False), (1, True)]
    made.config = {"work": {"model_id": "n", "cells": ["c"]}}
    assert made.reset_config(made.config)
    assert made.step()["rows"][0]["cell_id"] == "c"


def test_a_cell_that_kills_hosts_fails_alone_and_an_unwritable_one_ends_the_step():
    pool = Pool(a=HostDied("3 hosts ended"), c=CannotWrite("disk full"))
    done = trial(pool, "a", "b", "c", "d").step()
    assert [r["status"] for r in done["rows"]] == ["failed", "finished", "unwritten"]
    assert done["rows"][0]["error_type"] == "HostDied"
    assert not done["done"]


def test_a_cell_counts_once_though_its_trial_is_tried_again(plan, tmp_path):
    work, seen = work_of(plan, tmp_path)
    progress = cluster._Progress(work)
    first, second = plan.cells[:2]
    failed = {"status": "failed", "error_type": "ValueError", "error": "no"}
    report(progress, row(first, **failed))
    report(progress, row(first, **failed), row(second))
    assert [event.status for event in seen] == ["failed", "finished"]
    assert progress.failed == 1
    assert not progress.problem


def test_what_no_host_could_write_is_written_here_and_a_full_disk_stops(plan, tmp_path):
    work, seen = work_of(plan, tmp_path)
    progress = cluster._Progress(work)
    report(progress, row(plan.cells[0], status="failed", error_type="HostDied", error="killed", seconds=None))
    (written,) = work.store.read("cells", plan.cells[0].cell_id).to_pylist()
    assert (written["status"], written["error"]) == ("failed", "killed")
    report(progress, row(plan.cells[1], status="unwritten", error="disk full"))
    assert progress.problem == "disk full"
    assert len(seen) == 1


def test_keys_of_the_driver_are_not_on_the_command_line_of_a_trial(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    made = str(vars(class_cache._ActorClassCache().get(tune_trials.CellTrial)))
    assert "RAY_CHDIR_TO_TRIAL_DIR" in made
    assert "hunter2" not in made


def test_a_head_without_trial_slots_is_refused_and_one_with_few_is_told(plan, tmp_path):
    work, seen = work_of(plan, tmp_path)
    cluster.check_slots(work, 8, 8)
    assert not seen
    cluster.check_slots(work, 8, 64)
    assert "56 of 64 model hosts will idle" in seen[0].name
    with pytest.raises(AuditError, match="no trial slots"):
        cluster.check_slots(work, 0, 1)
