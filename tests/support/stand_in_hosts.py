"""Hosts and tasks that stand in for those with models: they answer, wait, fail or die as a test asks. No torch."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ray

from orchestrator.progress.events import Done, Event
from orchestrator.store.files import CannotWrite

GO = "go"
"""The file that what waits is waiting for."""


class Disaster(Exception):
    """The words of code that raises."""


def act(way: str, folder: Path) -> None:
    """Answer, or do what keeps from answering.

    Args:
        way: answer, wait, raise, cannot write, leave (the process ends by itself) or die (it is killed).
        folder: where `GO` is awaited.
    """
    if way == "wait":
        while not (folder / GO).exists():
            time.sleep(0.02)
    elif way == "raise":
        raise Disaster("its own words")
    elif way == "cannot write":
        raise CannotWrite("the disk is full")
    elif way == "leave":
        os._exit(3)
    elif way == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        assert way == "answer", way


def mark(folder: Path, name: str, line: object) -> int:
    """Add a line to a file; how many it has then."""
    with (folder / name).open("a") as file:
        file.write(f"{line}\n")
    return len(marks(folder, name))


def marks(folder: Path, name: str) -> list[str]:
    """The lines of a file, none where it is not there."""
    return (folder / name).read_text().split("\n")[:-1] if (folder / name).exists() else []


def held(folder: Path, index: int) -> Path:
    """The file that keeps a host from being ready, again where it has died."""
    return folder / f"held-{index}"


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)
class StandInHost:
    """In place of `ModelHost`, with its restarts and retries.

    Args:
        config: `checks` says how each host is built and checks itself: a way of `act`, "build" where it cannot be
            built, or else the problem that it finds.
        root: a folder for marks.
    """

    def __init__(self, config: Any, root: str, digests: Any = None) -> None:
        self._index = int(ray.get_runtime_context().get_actor_name().rpartition("-")[2])
        self._folder, self._check = Path(root), config.checks[self._index]
        if self._check == "build":
            raise Disaster("it cannot be built")

    def check(self) -> str | None:
        """A problem, an answer, or neither; not while it is held."""
        mark(self._folder, f"checks-{self._index}", os.getpid())
        while held(self._folder, self._index).exists():
            time.sleep(0.02)
        if self._check in ("answer", "raise", "die"):
            act(self._check, self._folder)
            return None
        return str(self._check)

    def drained(self) -> None:
        """Answer once every call before this one has ended."""

    def work(self, key: str, way: str) -> int:
        """Do a piece of work, and say where: the index of this host."""
        mark(self._folder, key, self._index)
        act(way, self._folder)
        return self._index


class StandInWorker:
    """In place of the workbench and the shadow worker of a task; a stage of a shadow model is a line in its file.

    Args:
        config: `ways` says what each shadow model does, once for each time that it is run; then it answers.
        root: a folder for marks.
    """

    def __init__(self, config: Any, root: str) -> None:
        self._ways, self._folder = config.ways, Path(root)
        self.stages = SimpleNamespace(blames=False)

    def run(self, numbers: Sequence[int]) -> list[str]:
        """Complete a stage of each shadow model after the other, until one does not answer."""
        for number in numbers:
            before = len(marks(self._folder, f"runs-{number}"))
            mark(self._folder, f"runs-{number}", os.getpid())
            ways = self._ways.get(number, ())
            act(ways[before] if before < len(ways) else "answer", self._folder)
            mark(self._folder, f"done-{number}", "")
        return []

    def done(self, problems: Sequence[str], *, since: float) -> Done:
        """As a workbench says it."""
        return Done(problems=tuple(problems), seconds=time.perf_counter() - since)


def stand_in_worker(
    config: Any, root: str, architecture: str, digests: Any
) -> tuple[StandInWorker, StandInWorker]:
    """In place of the function that finds the workbench and the worker of a process."""
    worker = StandInWorker(config, root)
    return worker, worker


def work_for(
    folder: Path, *, hosts: int = 1, shadows: Sequence[tuple[str, list[int]]] = (), **config: Any
) -> Any:
    """The work of a sweep as far as hosts and tasks look at it; `heard` has its events."""
    heard: list[Event] = []
    execution = SimpleNamespace(hosts=hosts, threads=1, device="cpu")
    plan = SimpleNamespace(config=SimpleNamespace(execution=execution, **config), shadow_sets=("net",))
    return SimpleNamespace(
        plan=plan,
        store=SimpleNamespace(root=str(folder)),
        run_id="stand-in",
        shadows=shadows,
        listener=heard.append,
        heard=heard,
        stop=threading.Event(),
    )
