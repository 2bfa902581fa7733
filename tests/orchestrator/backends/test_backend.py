"""What the Ray backend does with models that end their hosts, with stops, and with the end of Ray; without Ray."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from orchestrator.backends.on_ray import backend
from orchestrator.backends.on_ray.backend import RayBackend, train
from orchestrator.backends.on_ray.dispatch import HostDied
from orchestrator.plan.cells import ModelSpec
from orchestrator.progress.events import Done, Event
from tasks.errors import AuditError
from tasks.training.recipe import Recipe


class Pool:
    """Answers for two hosts; `acts` says what happens at a model."""

    hosts = (None, None)

    def __init__(self, **acts: Any) -> None:
        self.acts, self.made = acts, []

    def run(self, key: str, model_id: str, call: Any, *, limit: int) -> Done:
        assert (key, limit) == (model_id, 1)
        self.made.append(key)
        return self.acts[key]()


def work(*models: str, max_failures: int = 0) -> Any:
    heard: list[Event] = []
    specs = [
        ModelSpec(model_id=name, kind="original", architecture=name, recipe=Recipe(), seed=0)
        for name in models
    ]
    config = SimpleNamespace(execution=SimpleNamespace(max_failures=max_failures))
    return SimpleNamespace(
        models=specs,
        cells=[],
        plan=SimpleNamespace(config=config),
        listener=heard.append,
        heard=heard,
        stop=threading.Event(),
    )


def died() -> Done:
    raise HostDied("3 hosts ended while they ran this")


def test_a_model_that_ends_hosts_has_failed_and_the_others_are_made() -> None:
    made = work("a", "b", "c")
    train(made, Pool(a=died, b=Done, c=lambda: Done(problems=("it diverged",))))
    phase, *events = made.heard
    assert (phase.name, phase.total) == ("training", 3)
    assert {(event.name.split()[0], event.status, event.error) for event in events} == {
        ("a", "failed", "3 hosts ended while they ran this"),
        ("b", "finished", ""),
        ("c", "failed", "it diverged"),
    }


def test_after_a_stop_no_model_is_begun() -> None:
    made = work(*"abcdef")
    both = threading.Barrier(2)

    def stopped() -> Done:
        both.wait(timeout=30)
        made.stop.set()
        return Done()

    pool = Pool(**dict.fromkeys("abcdef", stopped))
    train(made, pool)
    assert sorted(pool.made) == ["a", "b"]
    assert [event.kind for event in made.heard] == ["phase", "model", "model"]


def test_cells_end_with_a_stop_a_problem_or_as_many_failures_as_are_allowed() -> None:
    made, allowed = work(), work(max_failures=2)
    progress = SimpleNamespace(problem="", failed=2)
    asked = backend._StopWhenAsked(made, progress)
    assert not asked.stop_all()
    assert not asked("trial", {})
    assert backend._StopWhenAsked(allowed, progress).stop_all()
    progress.failed = 1
    assert not backend._StopWhenAsked(allowed, progress).stop_all()
    progress.problem = "the disk is full"
    assert asked.stop_all()
    progress.problem = ""
    made.stop.set()
    assert asked.stop_all()


def test_the_end_of_ray_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: RayBackend, work: Any) -> None:
        raise ray.exceptions.RaySystemError("the raylet\nis gone")

    monkeypatch.setattr(RayBackend, "_run", lost)
    with pytest.raises(
        AuditError, match=r"^backend: Ray ended while the sweep ran; the same command goes on \("
    ) as told:
        RayBackend(address="local").run(work())
    assert "the raylet is gone" in str(told.value)
