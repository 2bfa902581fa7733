"""Shadow models as Ray tasks: bounded in flight, retried, spread over nodes, resumable one by one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ray

from orchestrator.backends.on_ray.dispatch import raise_if_unwritable
from orchestrator.backends.on_ray.ending import ATTEMPTS, Ended, go_on, gpu_share_of_this_process, unless_lost
from orchestrator.backends.work import Work
from orchestrator.config.settings import SweepConfig
from orchestrator.errors import one_line
from orchestrator.plan.shadows import ShadowGroup
from orchestrator.progress.events import Done, Event
from orchestrator.progress.units import shadow_events
from orchestrator.records.observations import missing_groups
from tasks.errors import AuditError
from tasks.networks.weight_files import NOTHING_READ, Digests, known_digests

if TYPE_CHECKING:
    from orchestrator.bench.shadows import ShadowWorker
    from orchestrator.bench.workbench import Workbench

LOOK = 5.0
"""Seconds between two looks at what tasks that run have written."""
IN_FLIGHT = 2
"""Tasks submitted for each that can run, so that a worker never waits for the driver."""


def run_shadows(
    config: SweepConfig,
    root: str,
    architecture: str,
    numbers: list[int],
    blames: bool,
    digests: Digests = NOTHING_READ,
) -> Done | Ended:
    """Train shadow models, unlearn from each, write what was observed; finished ones are left as they are.

    Args:
        config: of the sweep.
        root: of the results.
        architecture: of the shadow models.
        numbers: of the shadow models.
        blames: whether the stage that loses the device is recorded as failed.
        digests: of files that the driver has read.
    """
    go_on()
    started = time.perf_counter()
    bench, worker = _worker(config, root, architecture, digests)
    bench.stages.blames = blames
    return unless_lost(lambda: bench.done(worker.run(numbers), since=started))


_on_cpu = ray.remote(max_retries=3, scheduling_strategy="SPREAD")
# The process ends with the task, for what it keeps of its GPU would be missed by the model hosts that come after it,
# and Ray may give it another GPU the next time. That costs a start for each batch, which trains for minutes.
_on_gpu = ray.remote(num_gpus=1, max_calls=1, max_retries=3, scheduling_strategy="SPREAD")
on_cpu, on_gpu = _on_cpu(run_shadows), _on_gpu(run_shadows)


@ray.remote(num_cpus=0, max_retries=3)
def check_plan(config: SweepConfig, root: str, digests: Digests) -> str | None:
    """The message of the first architecture or scope that cannot be built; None where all can. Asks for no device."""
    from orchestrator.bench.check import check_models
    from orchestrator.bench.workbench import plan_of_worker

    try:
        check_models(plan_of_worker(config, root, digests)[0])
    except AuditError as error:
        return str(error)
    return None


def make_pretrained(config: SweepConfig, root: str, model_id: str, digests: Digests) -> Done | Ended:
    """Make what shadow models start from; why it could not be made is recorded, and said by whoever needs it."""
    from orchestrator.bench.workbench import Workbench

    go_on()
    started = time.perf_counter()
    bench = Workbench.at(config, root, digests, share=gpu_share_of_this_process())
    return unless_lost(lambda: bench.done([bench.make_model(model_id)], since=started))


pretrain_on_cpu, pretrain_on_gpu = _on_cpu(make_pretrained), _on_gpu(make_pretrained)


def pretrain(work: Work, options: Mapping[str, float]) -> None:
    """Make the missing bases before any shadow model, which would each make them again.

    Args:
        work: what is missing.
        options: resources of one task (num_cpus or num_gpus).
    """
    submit = (pretrain_on_gpu if "num_gpus" in options else pretrain_on_cpu).options(**options)
    missing = [spec for spec in work.models if spec.kind == "pretrained"]
    shared, digests = (work.plan.config, work.store.root), known_digests()
    for reference in [submit.remote(*shared, spec.model_id, digests) for spec in missing]:
        try:
            _result(reference)
        except ray.exceptions.RayError as error:
            work.listener(
                Event(kind="note", name=f"the pretrained base: the task failed: {one_line(error)[-300:]}")
            )


_WORKERS: dict[tuple[str, str], tuple[SweepConfig, Workbench, ShadowWorker]] = {}


def _worker(
    config: SweepConfig, root: str, architecture: str, digests: Digests
) -> tuple[Workbench, ShadowWorker]:
    """The workbench and worker of this process, kept between tasks: they hold the data set."""
    from orchestrator.bench.shadows import ShadowWorker
    from orchestrator.bench.workbench import Workbench

    held = _WORKERS.get((root, architecture))
    if held is None or held[0] != config:
        bench = Workbench.at(config, root, digests, share=gpu_share_of_this_process())
        held = config, bench, ShadowWorker(bench, architecture)
        _WORKERS[root, architecture] = held
    return held[1:]


@dataclass(kw_only=True)
class _Batch:
    architecture: str
    numbers: list[int]
    left: int
    """Stages that were not observed when it was submitted."""
    deaths: int = 0
    """Processes that lost their device under it since there was less left."""


def run_tasks(work: Work, *, slots: int, options: Mapping[str, float]) -> None:
    """Submit every batch, at most `IN_FLIGHT` for each slot at a time.

    A batch whose processes ended as often as Ray tries is submitted again as long as they have left less to do: what
    ends one process after the other may be one method on one shadow model after the other. Where processes lose their
    device, the last that may is to record what did it.

    Args:
        work: what is missing, and who listens.
        slots: tasks that can run at once.
        options: resources of one task (num_cpus or num_gpus).
    """
    missing = {name: missing_groups(work.plan, work.store, name) for name in work.plan.shadow_sets}
    waiting = deque(_Batch(architecture=a, numbers=n, left=_left(missing[a], n)) for a, n in work.shadows)
    total, looked = sum(len(b.numbers) for b in waiting), time.monotonic()
    unobserved = {
        group.key(j) for b in waiting for j in b.numbers for group in missing[b.architecture].get(j, ())
    }
    work.listener(Event(kind="phase", name="shadow models", total=total, parts=len(unobserved)))
    submit = (on_gpu if "num_gpus" in options else on_cpu).options(**options)
    running: dict[ray.ObjectRef, _Batch] = {}
    digests = known_digests()
    while True:
        while waiting and len(running) < IN_FLIGHT * slots and not work.stop.is_set():
            batch = waiting.popleft()
            arguments = work.plan.config, work.store.root, batch.architecture, batch.numbers
            running[submit.remote(*arguments, blames=batch.deaths == ATTEMPTS - 1, digests=digests)] = batch
        if not running:
            return
        ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
        if time.monotonic() - looked >= LOOK:
            before = len(unobserved)
            unobserved -= work.store.keys("observations")
            work.listener(Event(kind="part", name="shadow models", parts=before - len(unobserved)))
            looked = time.monotonic()
        for reference in ready:
            batch = running.pop(reference)
            try:
                done = _result(reference)
            except ray.exceptions.RayError as error:
                done = Ended(f"the task failed: {one_line(error)[-300:]}")
                batch = replace(batch, deaths=ATTEMPTS)  # Ray has tried as often
            if isinstance(done, Ended):
                left = _left(missing_groups(work.plan, work.store, batch.architecture), batch.numbers)
                blamed = batch.deaths == ATTEMPTS - 1  # what is next to break a device is blamed at once
                deaths = (batch.deaths if blamed else 0) if left < batch.left else batch.deaths + 1
                if deaths < ATTEMPTS:
                    waiting.appendleft(replace(batch, left=left, deaths=deaths))
                    continue
                done = Done(problems=(done.reason,))
            for event in shadow_events(batch.architecture, batch.numbers, done):
                work.listener(event)


def _left(missing: Mapping[int, Sequence[ShadowGroup]], numbers: Sequence[int]) -> int:
    return sum(len(missing.get(j, ())) for j in numbers)


def _result(reference: ray.ObjectRef) -> Done | Ended:
    """What a task returned or raised; RayError where its processes ended.

    Raises:
        AuditError: results cannot be written, or a node lacks what the sweep needs: data, plug-in, device, precision.
    """
    try:
        done: Done | Ended = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise_if_unwritable(error)
        if isinstance(error.cause, AuditError):
            raise AuditError(str(error.cause)) from None
        return Done(problems=(f"the task failed: {one_line(error)[-300:]}",))
    return done
