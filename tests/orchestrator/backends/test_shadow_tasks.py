"""Shadow tasks whose processes die, fail, or may no longer be begun: real Ray, shadow models without models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ray
from ray import cloudpickle

from orchestrator.backends.on_ray import shadow_tasks
from orchestrator.backends.on_ray.shadow_tasks import IN_FLIGHT, run_tasks
from orchestrator.store.files import CannotWrite
from tests.support.stand_in_hosts import marks, stand_in_worker, work_for

pytestmark = [pytest.mark.usefixtures("private_ray"), pytest.mark.timeout(120)]
STAGES = 2
"""Of each shadow model; a task completes one of each when it comes to its end."""
ONCE = {"num_cpus": 0, "max_retries": 0}
"""Options of a task whose process Ray starts once, so that what follows its end is soon reached."""


class Stage(NamedTuple):
    """One of a shadow model, by its number."""

    number: int

    def key(self, shadow: int) -> str:
        """Of its observations."""
        return f"{shadow}-{self.number}"


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers without models, and the stages that they have left."""

    def missing(plan: Any, store: Any, architecture: str) -> Mapping[int, Sequence[Stage]]:
        done = {n: len(marks(Path(store.root), f"done-{n}")) for n in range(10)}
        return {
            n: [Stage(stage) for stage in range(count, STAGES)] for n, count in done.items() if count < STAGES
        }

    monkeypatch.setattr(shadow_tasks, "_worker", stand_in_worker)
    monkeypatch.setattr(shadow_tasks, "missing_groups", missing)
    cloudpickle.register_pickle_by_value(shadow_tasks)  # so that the stand-in travels with the task
    yield
    cloudpickle.unregister_pickle_by_value(shadow_tasks)


def work(folder: Path, *batches: list[int], **ways: Sequence[str]) -> Any:
    """The work on some batches; `n3=["die"]` is what shadow model 3 does."""
    by_number = {int(name.removeprefix("n")): told for name, told in ways.items()}
    made = work_for(folder, shadows=[("net", batch) for batch in batches], ways=by_number)
    made.store.keys = lambda table: observed(folder) if table == "observations" else set()
    return made


def observed(folder: Path) -> set[str]:
    """The keys of what shadow models have completed."""
    counts = {n: len(marks(folder, f"done-{n}")) for n in range(10)}
    return {Stage(stage).key(n) for n, count in counts.items() for stage in range(min(count, STAGES))}


def runs(folder: Path, number: int) -> int:
    """How often a shadow model was run."""
    return len(marks(folder, f"runs-{number}"))


def heard(work: Any) -> tuple[list[int], list[str]]:
    """The shadow models that ended, and the problems that were told."""
    phase, *events = work.heard
    assert (phase.kind, phase.total) == ("phase", sum(len(numbers) for _, numbers in work.shadows))
    ended = [int(event.name.rpartition(" ")[2]) for event in events if event.kind == "shadow"]
    return ended, [event.name for event in events if event.kind == "note"]


def test_a_task_whose_process_dies_is_tried_again_by_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it leaves no less to do, for which a batch is not submitted again; what it observed is told once."""
    monkeypatch.setattr(shadow_tasks, "LOOK", 0.0)
    made = work(tmp_path, [0], n0=["die", "leave"])
    run_tasks(made, slots=1, options={"num_cpus": 0})
    assert heard(made) == ([0], [])
    assert len(set(marks(tmp_path, "runs-0"))) == runs(tmp_path, 0) == 3
    assert made.heard[0].parts == STAGES
    assert sum(event.parts for event in made.heard if event.kind == "part") == len(observed(tmp_path)) > 0


def test_a_batch_is_submitted_again_as_long_as_it_leaves_less_to_do(tmp_path: Path) -> None:
    made = work(tmp_path, [0, 1], [2], n1=["die", "die", "die"])
    run_tasks(made, slots=1, options=ONCE)
    ended, (problem,) = heard(made)
    assert sorted(ended) == [0, 1, 2]
    assert problem.startswith("failed: the task failed: ")
    # Twice the first shadow model got on, then no more.
    assert (runs(tmp_path, 0), runs(tmp_path, 1), runs(tmp_path, 2)) == (STAGES + 1, STAGES + 1, 1)


def test_a_batch_that_a_later_try_completes_is_no_problem(tmp_path: Path) -> None:
    made = work(tmp_path, [0, 1], n1=["die"])
    run_tasks(made, slots=1, options=ONCE)
    assert heard(made) == ([0, 1], [])
    assert (runs(tmp_path, 0), runs(tmp_path, 1)) == (2, 2)


def test_what_code_raises_is_a_problem_at_once_and_the_others_go_on(tmp_path: Path) -> None:
    made = work(tmp_path, [0], [1, 2], n0=["raise", "raise"])
    run_tasks(made, slots=1, options={"num_cpus": 0})
    ended, (problem,) = heard(made)
    assert sorted(ended) == [0, 1, 2]
    assert problem.startswith("failed: the task failed: ")
    assert "its own words" in problem
    assert runs(tmp_path, 0) == 1


def test_results_that_cannot_be_written_end_the_work_at_once(tmp_path: Path) -> None:
    made = work(tmp_path, *([number] for number in range(6)), n0=["cannot write"] * 2)
    with pytest.raises(CannotWrite, match=r"^the disk is full$"):
        run_tasks(made, slots=1, options=ONCE)
    assert runs(tmp_path, 0) == 1
    assert runs(tmp_path, 5) == 0


class Counted:
    """In place of the remote function, which it calls: how many of its tasks have been submitted and not reported."""

    def __init__(self, work: Any) -> None:
        self.submitted, self.at_once = 0, []
        self._submit, self._heard = shadow_tasks.on_cpu, work.heard

    def options(self, **options: Any) -> Counted:
        self._submit = self._submit.options(**options)
        return self

    def remote(self, *arguments: Any, **named: Any) -> ray.ObjectRef:
        self.submitted += 1
        self.at_once.append(self.submitted - sum(event.kind == "shadow" for event in self._heard))
        return self._submit.remote(*arguments, **named)


@pytest.mark.parametrize("slots", [1, 2])
def test_tasks_in_flight_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int) -> None:
    made = work(tmp_path, *([number] for number in range(8)))
    counted = Counted(made)
    monkeypatch.setattr(shadow_tasks, "on_cpu", counted)
    run_tasks(made, slots=slots, options={"num_cpus": 1})
    assert sorted(heard(made)[0]) == list(range(8))
    assert max(counted.at_once) == IN_FLIGHT * slots


def test_after_a_stop_what_was_begun_ends_and_nothing_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = work(tmp_path, *([number] for number in range(6)))
    counted = Counted(made)
    monkeypatch.setattr(shadow_tasks, "on_cpu", counted)
    told = made.listener

    def stop(event: Any) -> None:
        told(event)
        if event.kind == "shadow":
            made.stop.set()

    made.listener = stop
    run_tasks(made, slots=1, options={"num_cpus": 0})
    assert counted.submitted == IN_FLIGHT
    assert sorted(heard(made)[0]) == list(range(IN_FLIGHT))
    assert [runs(tmp_path, number) for number in range(6)] == [1] * IN_FLIGHT + [0] * (6 - IN_FLIGHT)
