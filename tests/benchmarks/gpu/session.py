"""What all parts share: the device, the sizes, the time that is left, and the attempt at one row."""

from __future__ import annotations

import functools
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from tasks.errors import AuditError
from tasks.runtime.devices import Engine, Precision
from tasks.runtime.time_limit import TimeLimit, time_limit
from tests.benchmarks.gpu.figures import Figure, Report

T = TypeVar("T")
MOST_SECONDS = 120.0
"""Of one row's preparation or measurement: compiling is the longest."""


@dataclass(frozen=True)
class Sizes:
    """How large the work is, and how long it is timed."""

    batch: int = 512
    small_batch: int = 128
    """Where several models at once may pay."""
    sequences: int = 64
    """Batch of the language model."""
    examples: int = 50_000
    width: int = 64
    """Channels of the residual network's first stage; the transformers shrink with it."""
    side: int = 32
    """Of the images."""
    depth: int = 2
    """Blocks of each of the residual network's four stages; the transformers have three times as many."""
    length: int = 256
    """Tokens of a sequence."""
    stacks: tuple[int, ...] = (2, 4, 8)
    gemm: int = 8192
    copied: int = 2**30
    """Bytes of the copy that measures bandwidth."""
    steps: int = 20
    """Of comparisons that are not timed."""
    attacked: int = 64
    attack_steps: int = 10
    attack_queries: int = 500
    rounds: int = 4
    calibrating: int = 3
    """Steps that tell how many fill a slice."""
    slice_seconds: float = 0.3
    """Of one row in one round."""


TINY = Sizes(
    batch=4,
    small_batch=2,
    sequences=2,
    examples=32,
    width=8,
    side=8,
    depth=1,
    length=4,
    stacks=(2,),
    gemm=64,
    copied=2**16,
    steps=2,
    attacked=2,
    attack_steps=1,
    attack_queries=2,
    rounds=1,
    calibrating=1,
    slice_seconds=0.0,
)
"""Does every row run? No measurement."""


@dataclass
class Session:
    """One run on one device.

    Args:
        device: a CUDA device, or the CPU.
        sizes: of the work.
        report: where figures go.
        seconds: for all parts together.
    """

    device: torch.device
    sizes: Sizes
    report: Report
    seconds: float
    part: str = ""
    """What runs now; figures are of it."""
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        # accelerate's state is made once per precision, and deterministic algorithms are switched on here.
        self.engine: Callable[[Precision], Engine] = functools.cache(
            lambda precision: Engine(device="cuda" if self.cuda else "cpu", precision=precision)
        )
        self.engine("no")

    @property
    def cuda(self) -> bool:
        """Whether this is a card."""
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self._began)

    def figure(self, name: str, values: dict[str, float], note: str = "") -> None:
        """Report numbers of the part that runs."""
        self.report.add(Figure(self.part, name, values, note))

    def missing(self, name: str, reason: str, *, failed: bool = False) -> None:
        """Report why there is no number."""
        self.report.add(Figure(self.part, name, missing=reason, failed=failed))

    def attempt(self, name: str, work: Callable[[], T], *, cuda: bool = False) -> T | None:
        """Do the work of one row; None where it needs a card that is absent, no time is left, or it fails.

        A row that fails says why, and the others are measured.
        """
        if cuda and not self.cuda:
            return self.missing(name, "needs CUDA")
        most = min(MOST_SECONDS, self.left)
        if most <= 0:
            return self.missing(name, "skipped: no time left")
        try:
            with time_limit(most, hung=lambda error: print(f"gpu: {name}: {error}", file=sys.stderr)):
                return work()
        except TimeLimit:
            return self.missing(name, f"skipped: it took more than {most:.0f} s")
        except (AuditError, ImportError) as error:
            return self.missing(name, f"left out: {one_line(error)}")
        except Exception as error:  # whatever one row meets on an unknown card, the others must be measured
            return self.missing(name, f"failed: {type(error).__name__}: {one_line(error)}", failed=True)

    def synchronise(self) -> None:
        """Wait for all that the device has been given."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def release(self) -> None:
        """Give back what dropped rows held: graphs keep their memory until they are collected.

        Compiled code goes too: torch runs uncompiled, without a word, what it has compiled too often.
        """
        if self.cuda:
            self.synchronise()
            torch.compiler.reset()
            gc.collect()
            torch.cuda.empty_cache()


def one_line(error: BaseException) -> str:
    """The message of an error, cut."""
    return " ".join(str(error).split())[:160]
