"""Which host works on what: hosts are used as they come up, and their work moves on when they die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle

from orchestrator.backends.on_ray.ending import ATTEMPTS, Ended
from orchestrator.errors import one_line
from orchestrator.store.files import CannotWrite
from tasks.errors import AuditError

RETRY_SECONDS = 1.0
"""Between two looks at a host that does not answer."""


class HostDied(Exception):
    """The work ended several hosts."""


class NoHostLeft(AuditError):
    """There is no host that could do the work, through no fault of it."""


@dataclass(kw_only=True)
class Lease:
    """A piece of work and the host that it was given to."""

    index: int
    model_id: str
    life: int
    """Which life of the host: it grows whenever the host dies."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """Who is there."""

    ready: list[int]
    problems: dict[int, str]
    """Hosts that will never be ready, and why."""


class Ledger:
    """Who works where. Plain state, so that its rules can be tested without Ray.

    Args:
        num_hosts: hosts that were asked for; none is ready yet.
    """

    def __init__(self, num_hosts: int) -> None:
        self.ready: set[int] = set()
        self.problems: dict[int, str] = {}
        """Hosts that will never be ready, and why."""
        self._lives = [0] * num_hosts
        self._leases: dict[str, Lease] = {}
        self._culprits: dict[tuple[int, int], str] = {}

    def choose(self, model_id: str, *, limit: int) -> int | None:
        """The host that already works on the model, else the least busy one below `limit`, else None."""
        busy = dict.fromkeys(self.ready, 0)
        for lease in self._leases.values():
            if lease.index in busy:
                if lease.model_id == model_id:
                    return lease.index
                busy[lease.index] += 1
        free = [index for index, count in busy.items() if count < limit]
        return min(free, key=lambda index: (busy[index], index)) if free else None

    def take(self, key: str, model_id: str, index: int) -> None:
        """Note that this work is at that host; a lease of the same work is replaced."""
        self.release(key)
        self._leases[key] = Lease(index=index, model_id=model_id, life=self._lives[index])

    def release(self, key: str) -> None:
        """The work has ended, or its caller has."""
        self._leases.pop(key, None)

    def lost(self, key: str) -> tuple[int | None, bool]:
        """The host died under this work: the host if that is news, and whether the work was what it ran.

        Work that merely waited at the host is not to blame for its death.
        """
        lease = self._leases.get(key)
        if lease is None:
            return None, False
        life = lease.index, lease.life
        if life not in self._culprits:  # leases are in the order in which they were given
            here = (k for k, held in self._leases.items() if (held.index, held.life) == life)
            self._culprits[life] = next(here)
        self.release(key)
        blamed = self._culprits[life] == key
        if lease.life != self._lives[lease.index]:
            return None, blamed
        self._lives[lease.index] += 1
        self.ready.discard(lease.index)
        return lease.index, blamed

    def hopeless(self) -> bool:
        """Whether no host is ready and none ever will be."""
        return len(self.problems) == len(self._lives)


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=4096)
class Dispatcher:
    """Deals work to hosts. Where it dies Ray starts it anew, and it asks the hosts again who is there.

    Args:
        names: every host that was asked for; on a growing cluster most may still wait for a machine. (Names,
            since an actor whose arguments hold handles cannot be started anew.)
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._hosts = [ray.get_actor(name) for name in names]
        self._ledger = Ledger(len(names))
        self._changed = asyncio.Condition()
        self._watches: set[asyncio.Task] = set()

    async def acquire(self, key: str, model_id: str, limit: int) -> int:
        """A host for this work, as soon as one has less than `limit` to do; -1 if none is left."""
        self._begin()
        async with self._changed:
            self._ledger.release(key)
            while (index := self._ledger.choose(model_id, limit=limit)) is None:
                if self._ledger.hopeless():
                    return -1
                await self._changed.wait()
            self._ledger.take(key, model_id, index)
        return index

    async def release(self, key: str) -> None:
        """The work has ended."""
        async with self._changed:
            self._ledger.release(key)
            self._changed.notify_all()

    async def lost(self, key: str) -> bool:
        """The host died under this work; whether it died of it."""
        async with self._changed:
            index, blamed = self._ledger.lost(key)
            if index is not None:
                self._watch(index)
            self._changed.notify_all()
        return blamed

    async def status(self) -> Status:
        """Hosts that are ready, and those that never will be with the reason."""
        self._begin()
        return Status(ready=sorted(self._ledger.ready), problems=dict(self._ledger.problems))

    def _begin(self) -> None:
        if not self._watches:  # __init__ runs before there is an event loop
            for index in range(len(self._hosts)):
                self._watch(index)

    def _watch(self, index: int) -> None:
        self._watches.add(asyncio.get_running_loop().create_task(self._admit(index)))

    async def _admit(self, index: int) -> None:
        """Wait until the host is up and has checked itself; Ray restarts it meanwhile where it can."""
        problem = await self._checked(index)
        async with self._changed:
            if problem:
                self._ledger.problems[index] = problem
            else:
                self._ledger.ready.add(index)
            self._changed.notify_all()

    async def _checked(self, index: int) -> str | None:
        deaths = 0
        while True:
            host = self._hosts[index]
            try:
                await host.drained.remote()
            except ray.exceptions.ActorUnavailableError:  # no machine for it yet
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except ray.exceptions.RayError as error:
                return f"the host cannot be started: {one_line(error)[-300:]}"
            try:
                return await host.check.remote()
            except ray.exceptions.RayTaskError as error:
                return f"the host cannot check its models: {one_line(error)[-300:]}"
            except ray.exceptions.RayError as error:
                deaths += 1
                if deaths == ATTEMPTS:
                    return (
                        f"the host died {deaths} times while it checked its models: {one_line(error)[:300]}"
                    )
                await asyncio.sleep(RETRY_SECONDS)


@dataclass(frozen=True, kw_only=True)
class HostPool:
    """The hosts of a sweep as their callers see them; travels to trials."""

    dispatcher: ActorHandle
    hosts: tuple[ActorHandle, ...]

    def status(self) -> Status:
        """Who is there now."""
        status: Status = ray.get(self.dispatcher.status.remote())
        return status

    def run(
        self, key: str, model_id: str, call: Callable[[ActorHandle], ray.ObjectRef], *, limit: int
    ) -> Any:
        """Do a piece of work on some host, on another one where that dies.

        Args:
            key: names the work.
            model_id: what hosts like to keep: work on one model goes to one host.
            call: submits the work to a host.
            limit: pieces of work that may be at one host at a time.

        Raises:
            HostDied: it was what several hosts ran when they died.
            NoHostLeft: none can be had any more.
            CannotWrite: the results cannot be written.
        """
        deaths = 0
        while True:
            index = ray.get(self.dispatcher.acquire.remote(key, model_id, limit))
            if index < 0:
                problems = self.status().problems.values()
                raise NoHostLeft(f"hosts: none is left: {'; '.join(sorted(set(problems)))}")
            try:
                result = ray.get(call(self.hosts[index]))
            except (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError) as error:
                result = Ended(f"{one_line(error)[:400]} (out of memory?)")
            except ray.exceptions.RayTaskError as error:
                self.dispatcher.release.remote(key)
                raise_if_unwritable(error)
                raise
            except BaseException:
                self.dispatcher.release.remote(key)
                raise
            if not isinstance(result, Ended):
                self.dispatcher.release.remote(key)
                return result
            deaths += ray.get(self.dispatcher.lost.remote(key))
            if deaths == ATTEMPTS:
                raise HostDied(f"{deaths} hosts ended while they ran this: {result.reason}")


def raise_if_unwritable(error: ray.exceptions.RayTaskError) -> None:
    """Raise the `CannotWrite` behind what Ray raised, where there is one."""
    if isinstance(error.cause, CannotWrite):
        raise CannotWrite(str(error.cause)) from None
