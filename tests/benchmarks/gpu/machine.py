"""The machine itself: what it can do at most, and what asking it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from tests.benchmarks.gpu.session import Session
from tests.benchmarks.gpu.timing import Row, Timing, side_by_side

GEMM, COPY = "bf16 GEMM", "copy in device memory"
"""Rows that every group of trainings carries: shares of the peak are of the same minute."""


@contextmanager
def float32_as(kind: Literal["ieee", "tf32"]) -> Iterator[None]:
    """Compute float32 products in full or as TF32, whatever the defaults are; it matters on CUDA alone."""
    switches = [torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul]
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = kind
    try:
        yield
    finally:
        for switch, old in zip(switches, before, strict=True):
            switch.fp32_precision = old


def repeated(work: Callable[[], object]) -> Callable[[int], None]:
    """Do it that many times."""

    def run(count: int) -> None:
        for _ in range(count):
            work()

    return run


def square(session: Session, dtype: torch.dtype) -> Tensor:
    """A matrix of random numbers: products of zeros run faster."""
    size, generator = session.sizes.gemm, torch.Generator(session.device).manual_seed(0)
    return torch.randn(size, size, generator=generator, device=session.device).to(dtype)


def references(session: Session) -> dict[str, Row]:
    """The two ceilings: a square bf16 product of random numbers, and a copy."""
    a = square(session, torch.bfloat16)
    copied = torch.empty(session.sizes.copied, dtype=torch.uint8, device=session.device)
    target = torch.empty_like(copied)
    return {
        GEMM: Row(repeated(lambda: a @ a), examples=1),
        COPY: Row(repeated(lambda: target.copy_(copied)), examples=1),
    }


def gemm_rate(session: Session, timing: Timing) -> float:
    """Floating-point operations a second of a square product."""
    return 2 * session.sizes.gemm**3 / timing.seconds


def copy_rate(session: Session, timing: Timing) -> float:
    """Bytes a second that a copy reads and writes."""
    return 2 * session.sizes.copied / timing.seconds


def machine(session: Session) -> None:
    """Products by precision, bandwidth, launches, waits, uploads."""
    report_products(session)
    report_asking(session)


def report_products(session: Session) -> None:
    """The rate of products by precision, and of a copy."""
    size, rows = session.sizes.gemm, {}
    for name, dtype in (("float32", torch.float32), ("float16", torch.float16)):
        a = square(session, dtype)
        rows[f"{name} GEMM"] = Row(_full(partial(torch.matmul, a, a)), examples=1)
        if dtype == torch.float32:
            single = a
    if session.cuda:
        rows["tf32 GEMM"] = Row(_full(partial(torch.matmul, single, single), "tf32"), examples=1)
    else:
        session.missing("tf32 GEMM", "needs CUDA")
    for name, timing in side_by_side(session, {**references(session), **rows}).items():
        if name == COPY:
            session.figure(name, {"TB/s": copy_rate(session, timing) / 1e12}, "read and written")
        else:
            session.figure(name, {"TFLOP/s": gemm_rate(session, timing) / 1e12}, f"{size} x {size}")


def _full(work: Callable[[], object], kind: Literal["ieee", "tf32"] = "ieee") -> Callable[[int], None]:
    def run(count: int) -> None:
        with float32_as(kind):
            repeated(work)(count)

    return run


def report_asking(session: Session) -> None:
    """What a launch, a wait and an upload cost."""
    names = ("launch", "wait", "pageable upload", "pinned upload", "upload of an epoch's order and moves")
    if not session.cuda:
        for name in names:
            session.missing(name, "needs CUDA")
        return
    one, batch = (
        torch.zeros((), device=session.device),
        torch.zeros(2, session.sizes.batch, dtype=torch.int64),
    )
    pinned, epoch = batch.pin_memory(), torch.zeros(4, session.sizes.examples // 2, dtype=torch.int64)
    works: list[Callable[[], Tensor | float]] = [
        lambda: one.add_(1),
        one.item,
        lambda: batch.to(session.device),
        lambda: pinned.to(session.device, non_blocking=True),
        lambda: epoch.to(session.device),
    ]
    rows = {name: Row(repeated(work), examples=1) for name, work in zip(names, works, strict=True)}
    for name, timing in side_by_side(session, rows).items():
        session.figure(name, {"us": 1e6 * timing.seconds, "us of the host": 1e6 * timing.host})
