"""Starts the model hosts of a sweep, waits for the first, and tells the audience who comes and goes."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.backends.on_ray.dispatch import Dispatcher, HostPool, Status
from orchestrator.backends.on_ray.hosts import ModelHost
from orchestrator.backends.work import Work
from orchestrator.config.settings import Execution
from orchestrator.progress.events import Event
from tasks.errors import AuditError
from tasks.networks.weight_files import known_digests

POLL_SECONDS = 0.2
WATCH_SECONDS = 2.0
PATIENCE_SECONDS = 15.0
"""After that long without a host, say what is being waited for."""


GRAIN = 10_000
"""Ray counts resources in such parts of one."""


def host_resources(
    execution: Execution, available: Mapping[str, float], *, local: bool
) -> tuple[int, dict[str, float]]:
    """How many hosts to start, and what each asks Ray for.

    One host for each accelerator, or for every `threads` CPUs, where the configuration gives no number. On this
    machine hosts share its accelerators. On a cluster each asks for a whole accelerator, or for the CPUs it uses,
    whether that is there or not: what is missing is the demand that an autoscaler serves.

    Raises:
        AuditError: hosts of this machine want a GPU and Ray has found none: nobody could ever give them one.
    """
    gpus, cpus = int(available.get("GPU", 0)), int(available.get("CPU", 1))
    if execution.device == "cuda":
        count = execution.hosts or max(1, gpus)
        if local and not gpus:
            raise AuditError(
                "backend local: Ray finds no GPU on this machine; use --backend inline, or device cpu"
            )
        return count, {"num_gpus": gpu_share(count, gpus) if local else 1.0, "num_cpus": 0}
    count = execution.hosts or (1 if execution.device == "mps" else max(1, cpus // execution.threads))
    return count, {"num_cpus": 0 if local else execution.threads}


def gpu_share(processes: int, gpus: int) -> float:
    """What part of a GPU each process may have, so that all find room: a GPU is not split among two.

    Rounded down to what Ray can count: seven shares of 0.1429 are more than one.
    """
    together = -(-processes // max(1, gpus))
    return (GRAIN // together) / GRAIN


def room(count: int, share: float | None, gpus: int) -> str:
    """A line where hosts share GPUs, or wait for some; empty where each has its own, or none asks for one."""
    if share is None:
        return ""
    if share < 1:
        return (
            f"{count} model hosts share {gpus} GPUs: their device seconds are divided by those that share one"
        )
    if count > gpus:
        return f"{count} model hosts ask for a GPU each, the cluster has {gpus}: {count - gpus} wait for others to join"
    return ""


@contextlib.contextmanager
def fleet(work: Work, *, local: bool) -> Iterator[HostPool]:
    """Hosts for a while; work can begin as soon as one is up, and later ones join.

    Raises:
        AuditError: the configuration cannot be built by the first host that answers.
    """
    count, options = host_resources(work.plan.config.execution, ray.cluster_resources(), local=local)
    names = [f"{work.run_id}-{secrets.token_hex(3)}-host-{index}" for index in range(count)]
    arguments = work.plan.config, work.store.root, known_digests()
    hosts = [ModelHost.options(name=name, **options).remote(*arguments) for name in names]  # type: ignore[attr-defined]
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    dispatcher = Dispatcher.options(scheduling_strategy=here).remote(names)  # type: ignore[attr-defined]
    pool = HostPool(dispatcher=dispatcher, hosts=tuple(hosts))
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(work, pool, ended), daemon=True)
    try:
        _wait_for_one(work, pool)
        watch.start()
        yield pool
    finally:
        ended.set()
        for actor in (dispatcher, *hosts):
            ray.kill(actor)


def drain(pool: HostPool) -> None:
    """Return when every host has finished what it had begun."""
    for reference in [pool.hosts[index].drained.remote() for index in pool.status().ready]:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(reference)


def _wait_for_one(work: Work, pool: HostPool) -> None:
    began, told = time.monotonic(), False
    while not work.stop.is_set():
        status = pool.status()
        if status.ready:
            return
        if status.problems:
            raise AuditError(next(iter(status.problems.values())))
        if not told and time.monotonic() - began > PATIENCE_SECONDS:
            told = True
            work.listener(_note(f"waiting for the first of {len(pool.hosts)} model hosts"))
        time.sleep(POLL_SECONDS)


def _watch(work: Work, pool: HostPool, ended: threading.Event) -> None:
    """Say when hosts join, leave, or cannot be used."""
    known = Status(ready=list(range(len(pool.hosts))), problems={})
    while not ended.wait(WATCH_SECONDS):
        try:
            status = pool.status()
        except ray.exceptions.RayError:
            continue
        if status.ready != known.ready:
            work.listener(_note(f"{len(status.ready)} of {len(pool.hosts)} model hosts are up"))
        for index in status.problems.keys() - known.problems.keys():
            work.listener(_note(f"model host {index} cannot be used: {status.problems[index]}"))
        known = status


def _note(text: str) -> Event:
    return Event(kind="note", name=text)
