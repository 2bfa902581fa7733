"""Who does the work when hosts die, cannot be had or cannot write: real Ray, hosts without models."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.backends.on_ray import dispatch, fleet
from orchestrator.backends.on_ray.dispatch import Dispatcher, HostDied, HostPool, NoHostLeft
from orchestrator.backends.on_ray.hosts import ModelHost
from orchestrator.store.files import CannotWrite
from tasks.errors import AuditError
from tests.support.stand_in_hosts import GO, StandInHost, held, marks, work_for

pytestmark = [pytest.mark.usefixtures("private_ray"), pytest.mark.timeout(120)]
SECONDS = 60.0
"""After which an answer counts as none, on a busy machine too."""
Call = Callable[[Any], ray.ObjectRef]
"""What a host is asked for."""


@pytest.fixture(scope="module", autouse=True)
def stand_ins(private_ray: dict[int, Any]) -> Iterator[None]:
    """Fleets start hosts without models, and look at them often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fleet, "ModelHost", StandInHost)
        patch.setattr(fleet, "WATCH_SECONDS", 0.1)
        yield


@pytest.fixture(scope="module")
def started(stand_ins: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, HostPool]]:
    """Two hosts that are well, and where they leave marks; tests may kill them, Ray brings them back."""
    folder = tmp_path_factory.mktemp("hosts")
    with fleet.fleet(work_for(folder, hosts=2, checks=["answer", "answer"]), local=True) as pool:
        yield folder, pool


@pytest.fixture
def pool(started: tuple[Path, HostPool]) -> HostPool:
    """The two hosts, both ready."""
    folder, pool = started
    for file in (folder / GO, held(folder, 0), held(folder, 1)):
        file.unlink(missing_ok=True)
    until(lambda: pool.status().ready == [0, 1])
    return pool


@pytest.fixture
def folder(started: tuple[Path, HostPool]) -> Path:
    """Where the two hosts leave marks."""
    return started[0]


def beside(function: Callable[..., Any], *arguments: Any, **named: Any) -> Future[Any]:
    """What goes on beside the test, whose limit of time does not reach into `ray.get`."""
    threads = ThreadPoolExecutor(max_workers=1)
    future = threads.submit(function, *arguments, **named)
    threads.shutdown(wait=False)
    return future


def begun(pool: HostPool, key: str, call: Call, *, model_id: str = "m", limit: int = 1) -> Future[Any]:
    """Work that goes on beside the test."""
    return beside(pool.run, key, model_id, call, limit=limit)


def ran(pool: HostPool, key: str, call: Call, *, model_id: str = "m", limit: int = 1) -> Any:
    """What work returned or raised; an error where it takes for ever."""
    return begun(pool, key, call, model_id=model_id, limit=limit).result(timeout=SECONDS)


def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def doing(key: str, *ways: str) -> Call:
    """A call of a host that does each time the next, and the last of them again and again."""
    left = list(ways)
    return lambda host: host.work.remote(key, left.pop(0) if len(left) > 1 else left[0])


def acquired(pool: HostPool, key: str, model_id: str, limit: int = 1) -> int:
    """The host that this work is given to; an error where none is for long."""
    return ray.get(pool.dispatcher.acquire.remote(key, model_id, limit), timeout=SECONDS)


def test_hosts_with_models_are_restarted_and_retried_as_those_without_here() -> None:
    assert StandInHost._default_options == ModelHost._default_options | {"num_cpus": 0}


def test_the_driver_hears_signals_as_before_and_hosts_outlive_its_terminal(
    pool: HostPool, folder: Path, private_ray: dict[int, Any]
) -> None:
    assert {number: signal.getsignal(number) for number in private_ray} == private_ray
    working = begun(pool, "deaf", doing("deaf", "wait"))
    until(lambda: marks(folder, "deaf"))
    os.kill(int(marks(folder, "checks-0")[-1]), signal.SIGHUP)
    (folder / GO).touch()
    assert working.result(timeout=SECONDS) == 0
    assert marks(folder, "deaf") == ["0"]


def test_work_moves_on_at_once_when_its_host_dies(pool: HostPool, folder: Path) -> None:
    held(folder, 0).touch()  # it comes back, but later
    assert ran(pool, "unlucky", doing("unlucky", "die", "answer")) == 1
    assert marks(folder, "unlucky") == ["0", "1"]


def test_work_that_ends_three_hosts_has_failed_and_the_hosts_come_back(pool: HostPool, folder: Path) -> None:
    with pytest.raises(HostDied, match="3 hosts ended while they ran this"):
        ran(pool, "fatal", doing("fatal", "die", "leave"))
    assert len(marks(folder, "fatal")) == 3
    until(lambda: pool.status().ready == [0, 1])
    assert {acquired(pool, f"after {n}", f"m{n}") for n in range(2)} == {0, 1}
    for n in range(2):
        ray.get(pool.dispatcher.release.remote(f"after {n}"))


def test_what_waited_at_three_hosts_that_died_is_not_to_blame(pool: HostPool, folder: Path) -> None:
    """Each time a culprit was there before it; its fourth host answers."""
    queued = threading.Semaphore(0)

    def call(host: Any) -> ray.ObjectRef:
        reference = host.work.remote("patient", "answer")
        queued.release()
        return reference

    def culprit(number: int) -> int:
        index = acquired(pool, f"culprit {number}", f"m{number}")
        pool.hosts[index].work.remote(f"culprit {number}", "wait")
        until(lambda: marks(folder, f"culprit {number}"))
        return index

    waiting: Future[int] | None = None
    index = culprit(0)
    for number in range(3):
        waiting = waiting or begun(pool, "patient", call, model_id="m0", limit=2)
        assert queued.acquire(timeout=SECONDS)
        held(folder, 1 - index).unlink(missing_ok=True)
        until(lambda: pool.status().ready == [0, 1])
        following = culprit(number + 1)
        assert following == 1 - index
        held(folder, index).touch()
        ray.kill(pool.hosts[index], no_restart=False)
        assert ray.get(pool.dispatcher.lost.remote(f"culprit {number}"))
        index = following
    (folder / GO).touch()
    assert waiting is not None
    assert waiting.result(timeout=SECONDS) == index
    assert marks(folder, "patient") == [f"{index}"]
    ray.get(pool.dispatcher.release.remote("culprit 3"))


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("answer", None),
        ("raise", ray.exceptions.RayTaskError),
        ("cannot write", CannotWrite),
        ("interrupt", KeyboardInterrupt),
    ],
)
def test_an_answer_or_an_error_ends_the_work_and_frees_its_host(
    pool: HostPool, folder: Path, way: str, error: type[BaseException] | None
) -> None:
    def interrupted(host: Any) -> ray.ObjectRef:
        raise KeyboardInterrupt

    call = interrupted if way == "interrupt" else doing(way, way)
    if error is None:
        assert ran(pool, way, call) == 0
    else:
        with pytest.raises(
            error, match={"raise": "its own words", "cannot write": "^the disk is full$"}.get(way)
        ):
            ran(pool, way, call)
    assert marks(folder, way) == ([] if way == "interrupt" else ["0"])
    assert {acquired(pool, f"next {n}", f"m{n}") for n in range(2)} == {0, 1}
    for n in range(2):
        ray.get(pool.dispatcher.release.remote(f"next {n}"))


def test_work_waits_until_a_host_is_free(pool: HostPool) -> None:
    taken = [acquired(pool, f"held {n}", f"m{n}") for n in range(2)]
    waiting = begun(pool, "third", doing("third", "answer"), model_id="m3")
    time.sleep(0.3)
    assert not waiting.done()
    ray.get(pool.dispatcher.release.remote("held 1"))
    assert waiting.result(timeout=SECONDS) == taken[1]
    ray.get(pool.dispatcher.release.remote("held 0"))


def test_a_killed_dispatcher_asks_the_hosts_again(pool: HostPool, folder: Path) -> None:
    before = [len(marks(folder, f"checks-{index}")) for index in range(2)]
    working = begun(pool, "begun", doing("begun", "wait"))
    until(lambda: marks(folder, "begun"))
    ray.kill(pool.dispatcher, no_restart=False)
    # The first host, which is at work, answers later than the other.
    assert acquired(pool, "after the kill", "n") == 1
    (folder / GO).touch()
    assert working.result(timeout=SECONDS) == 0
    assert marks(folder, "begun") == ["0"]
    until(lambda: pool.status().ready == [0, 1])
    assert [len(marks(folder, f"checks-{index}")) for index in range(2)] == [n + 1 for n in before]
    ray.get(pool.dispatcher.release.remote("after the kill"))


def test_draining_waits_for_what_was_begun(pool: HostPool, folder: Path) -> None:
    pool.hosts[1].work.remote("abandoned", "wait")
    until(lambda: marks(folder, "abandoned"))
    draining = beside(fleet.drain, pool)
    time.sleep(0.3)
    assert not draining.done()
    (folder / GO).touch()
    draining.result(timeout=SECONDS)


def test_draining_survives_a_host_that_dies(pool: HostPool, folder: Path) -> None:
    pool.hosts[0].work.remote("dying", "wait")
    until(lambda: marks(folder, "dying"))
    draining = beside(fleet.drain, pool)
    ray.kill(pool.hosts[0], no_restart=False)
    draining.result(timeout=SECONDS)
    assert ran(pool, "again", doing("again", "answer")) in (0, 1)


def test_where_no_host_is_left_the_work_says_why(tmp_path: Path) -> None:
    checks = ["build", "no module named 'plugin'", "raise", "die"]
    config = work_for(tmp_path, checks=checks).plan.config
    names = [f"hopeless-host-{index}" for index in range(len(checks))]
    hosts = [StandInHost.options(name=name).remote(config, str(tmp_path)) for name in names]
    pool = HostPool(dispatcher=Dispatcher.remote(names), hosts=tuple(hosts))
    with pytest.raises(NoHostLeft, match=r"^hosts: none is left: ") as told:
        ran(pool, "forlorn", doing("forlorn", "answer"))
    for words in (
        "the host cannot be started: ",
        "it cannot be built",
        "no module named 'plugin'",
        "the host cannot check its models: ",
        "its own words",
        f"the host died {dispatch.ATTEMPTS} times while it checked its models",
    ):
        assert words in str(told.value)
    assert [len(marks(tmp_path, f"checks-{index}")) for index in range(4)] == [0, 1, 1, dispatch.ATTEMPTS]
    assert marks(tmp_path, "forlorn") == []
    for actor in (pool.dispatcher, *hosts):
        ray.kill(actor)


def gone(actor: Any, method: str) -> bool:
    """Whether an actor was ended, and will not come back."""
    try:
        ray.get(getattr(actor, method).remote(), timeout=SECONDS)
    except ray.exceptions.ActorUnavailableError:
        return False
    except ray.exceptions.RayActorError:
        return True
    return False


def test_a_fleet_begins_with_its_first_host_tells_of_the_others_and_ends_them_all(tmp_path: Path) -> None:
    work = work_for(tmp_path, hosts=2, checks=["answer", "out of reach"])
    with fleet.fleet(work, local=True) as pool:
        assert ran(pool, "first", doing("first", "answer")) == 0
        until(lambda: len(work.heard) >= 2)
    assert [event.kind for event in work.heard] == ["note", "note"]
    assert {event.name for event in work.heard} == {
        "1 of 2 model hosts are up",
        "model host 1 cannot be used: out of reach",
    }
    until(lambda: all(gone(host, "drained") for host in pool.hosts))
    until(lambda: gone(pool.dispatcher, "status"))


def test_a_fleet_that_cannot_be_is_refused_and_one_that_takes_long_is_waited_for_until_asked_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(AuditError, match=r"^no module named 'plugin'$"),
        fleet.fleet(work_for(tmp_path, checks=["no module named 'plugin'"]), local=True),
    ):
        pytest.fail("it began")
    monkeypatch.setattr(fleet, "PATIENCE_SECONDS", 0.0)
    work = work_for(tmp_path, hosts=2, checks=["answer", "answer"])
    for index in range(2):
        held(tmp_path, index).touch()
    told = work.listener

    def stop(event: Any) -> None:
        told(event)
        work.stop.set()

    work.listener = stop
    with fleet.fleet(work, local=True) as pool:
        assert pool.status().ready == []
    assert [event.name for event in work.heard] == ["waiting for the first of 2 model hosts"]
