"""How a process runs a stage: on its device, under a time limit, again where memory runs out; and how it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import platform
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, TypeVar

import torch

from orchestrator.errors import one_line
from orchestrator.plan.cells import Plan
from orchestrator.store.store import Store
from tasks.errors import AuditError
from tasks.runtime import lost
from tasks.runtime.costs import Cost, measure
from tasks.runtime.devices import Engine, limit_threads
from tasks.runtime.lost import DeviceLost
from tasks.runtime.memory import MEMORY_ERRORS, named_memory_errors
from tasks.runtime.time_limit import TimeLimit, time_limit

T = TypeVar("T")


class StageFailed(Exception):
    """The original model that an unlearning starts from could not be made."""


class FailedBefore(Exception):
    """Making this model has been tried, and why it could not be made is recorded.

    Args:
        error_type: name of the exception that it met.
        error: its message.
    """

    def __init__(self, error_type: str, error: str) -> None:
        super().__init__(error)
        self.error_type = error_type


FAILURES = (Exception, SystemExit)
"""What a plug-in may raise without ending the sweep; KeyboardInterrupt is the user's."""


class Stages:
    """What every stage of one process has in common.

    Args:
        plan: the whole plan of the sweep.
        store: where finished work is written.
        share: part of its device that is this process's, in (0, 1].

    Raises:
        AuditError: this machine lacks the device, or the device the precision; or it does not answer.
    """

    def __init__(self, plan: Plan, store: Store, share: float = 1.0) -> None:
        execution = plan.config.execution
        limit_threads(execution.threads)
        self.engine = Engine(device=execution.device, precision=execution.precision)
        # Of a card that is gone for good every process loses it, and every stage would be blamed.
        if not lost.answers(self.engine.device):
            place = f"{self.engine.name} of {platform.node()}"
            raise AuditError(f"device: {place} does not answer; use another one, or reset it")
        self.blames = False
        """Whether a stage that loses the device is recorded as failed: others have lost it under the same stage."""
        self._store, self._timeout, self._share = store, execution.stage_timeout, share
        self._caches: list[OrderedDict[str, Any]] = []

    def cache(self) -> OrderedDict[str, Any]:
        """A place for what is kept for later stages; it is emptied where memory runs out."""
        self._caches.append(OrderedDict())
        return self._caches[-1]

    def measured(self) -> AbstractContextManager[Cost]:
        """Measure a block; see `tasks.runtime.costs.measure`."""
        return measure(self.engine.device, share=self._share)

    def watched(self) -> AbstractContextManager[None]:
        """Raise `DeviceLost` where a block fails because the device does; see `tasks.runtime.lost`."""
        return lost.watched(self.engine.device)

    @contextlib.contextmanager
    def in_this_process(self) -> Iterator[None]:
        """Work that goes on in no other process: where the device is lost, the command ends with a line.

        Raises:
            AuditError: the device works no longer.
        """
        try:
            with self.watched():
                yield
        except DeviceLost as error:
            told = "nothing of what ran is recorded, and the same command goes on in another process"
            raise AuditError(f"{one_line(error)}; {told}") from error

    @contextlib.contextmanager
    def limited(self, record: Callable[[BaseException], object]) -> Iterator[None]:
        """A stage that fails when it takes too long; where native code hangs, this process ends.

        Args:
            record: writes the failure of the stage, before this process ends; called from another thread where
                native code hangs, and where the device is lost and the stage is to blame.

        Raises:
            DeviceLost: the device works no longer; nothing is recorded unless the stage is to blame.
        """

        def hung(error: TimeLimit) -> None:
            record(error)
            told = "in native code; it is recorded, and the same command goes on"
            sys.stderr.write(f"error: {error}, {told}\n")
            sys.stderr.flush()

        try:
            with time_limit(self._timeout, hung=hung), self.watched():
                yield
        except DeviceLost as error:
            if self.blames:
                record(error)
            raise

    def with_room(self, work: Callable[[], T]) -> T:
        """Do a piece of work; where memory runs out once more, without the models that are kept for later."""
        # What it suppresses holds what the work had made, by its frames, until it is gone.
        with contextlib.suppress(*MEMORY_ERRORS), named_memory_errors():
            return work()
        for cache in self._caches:
            cache.clear()
        gc.collect()
        if self.engine.device.type == "cuda":
            torch.cuda.empty_cache()
        with named_memory_errors():
            return work()

    def write_cost(self, key: str, stage: str, cost: Cost, extra: Mapping[str, Any]) -> None:
        """Write what a stage took; `extra` tells what of it is known besides."""
        self._store.write(
            "costs",
            key,
            [
                {
                    "stage_id": key,
                    "model_id": extra.get("model_id", key),
                    "stage": stage,
                    "device": self.engine.name,
                    "samples": extra.get("samples"),
                    "forward_samples": extra.get("forward_samples"),
                    "trainable_parameters": extra.get("trainable_parameters"),
                    "output_digest": extra.get("output_digest"),
                    "finished_at": datetime.now(UTC),
                    **dataclasses.asdict(cost),
                }
            ],
        )


def failure(error: BaseException) -> dict[str, Any]:
    """The columns that say why a model or a cell failed."""
    kind = error.error_type if isinstance(error, FailedBefore) else type(error).__name__
    told = f"the code called sys.exit({error})" if isinstance(error, SystemExit) else one_line(error)
    return {"status": "failed", "error_type": kind, "error": told or kind}
