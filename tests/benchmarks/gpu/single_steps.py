"""What a step asks of host and device, whether changed steps train the same model, what determinism costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from tasks.training.train import train
from tests.benchmarks.gpu.counting import Traffic, flops, launches, waiting_lines
from tests.benchmarks.gpu.session import Session
from tests.benchmarks.gpu.step import Step, seed_path
from tests.benchmarks.gpu.subjects import Subject
from tests.benchmarks.gpu.timing import Row
from tests.benchmarks.gpu.together import Alone
from tests.benchmarks.gpu.training import Group, loop, stepping


def asked(session: Session, subject: Subject) -> None:
    """Operators, arithmetic and traffic of the loop's step; on a card kernels, launches and waits."""
    steps = min(session.sizes.steps, subject.most_steps)
    rows: dict[str, Callable[[], Row]] = {
        "loop as it is": lambda: loop(session, subject, "bf16"),
        "an epoch uploaded at once": lambda: stepping(session, subject),
    }
    for name, prepare in rows.items():
        session.attempt(name, lambda: _operators(session, subject, name, prepare(), steps))  # noqa: B023
    rows["CUDA graph"] = lambda: stepping(session, subject, captured=True)
    for name, prepare in rows.items():
        kernels = f"launches and waits: {name}"
        session.attempt(kernels, lambda: _launches(session, kernels, prepare(), steps), cuda=True)  # noqa: B023


def _operators(session: Session, subject: Subject, name: str, row: Row, steps: int) -> None:
    row.run(1)
    with Traffic() as traffic:
        row.run(steps)
    session.figure(
        name,
        {
            "operators a step": traffic.operators / steps,
            f"MB an {subject.unit}": traffic.bytes / steps / subject.batch / 1e6,
            f"GFLOP an {subject.unit}": flops(subject) / 1e9,
        },
    )


def _launches(session: Session, name: str, row: Row, steps: int) -> None:
    row.run(2)
    session.synchronise()
    counts = launches(lambda: row.run(steps))
    lines = waiting_lines(lambda: row.run(steps))
    note = "; ".join(f"{where} {times / steps:.3g}" for where, times in lines[:4])
    session.figure(name, {f"{what} a step": number / steps for what, number in counts.items()}, note)


def same_models(session: Session, subject: Subject) -> None:
    """Largest difference of a weight from the loop's after the same steps; 0 is equal bits."""
    steps = min(session.sizes.steps, subject.most_steps)
    engine, subset = session.engine("bf16"), subject.examples(steps)

    def by_loop() -> list[Tensor]:
        model = subject.build(0)
        train(model, subset, subject.recipe, seed_path=seed_path(0), engine=engine)
        return list(model.parameters())

    def by_step(*, compiled: bool = False, captured: bool = False) -> list[Tensor]:
        step = Step(subject, Alone(subject.build(0), compiled=compiled), engine)
        (step.capture() if captured else step).run(steps)
        return step.models.parameters()

    expected = session.attempt("loop", by_loop)
    if expected is None:
        return

    def difference(weights: Callable[[], list[Tensor]]) -> float:
        pairs = zip(weights(), expected, strict=True)
        return max(float((one - other).detach().abs().max()) for one, other in pairs)

    ways: dict[str, tuple[Callable[[], list[Tensor]], bool]] = {
        "the loop again": (by_loop, False),
        "an epoch uploaded at once": (by_step, False),
        "CUDA graph": (lambda: by_step(captured=True), True),
        "compiled": (lambda: by_step(compiled=True), True),
        "compiled, CUDA graph": (lambda: by_step(compiled=True, captured=True), True),
    }
    for name, (weights, cuda) in ways.items():
        found = session.attempt(name, lambda: difference(weights), cuda=cuda)  # noqa: B023
        if found is not None:
            session.figure(name, {"largest difference of a weight": found}, f"{steps} steps")


@contextmanager
def kernels(*, deterministic: bool, benchmark: bool) -> Iterator[None]:
    """Which kernels torch may choose."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def determinism(session: Session, subject: Subject) -> None:
    """The same step with deterministic kernels, with any, and with the fastest that cuDNN finds."""
    group, reference = Group(session, subject), "deterministic"

    def chosen(*, deterministic: bool, benchmark: bool) -> Row:
        with kernels(deterministic=deterministic, benchmark=benchmark):
            row = stepping(session, subject, captured=session.cuda)
            row.run(1)

        def run(steps: int) -> None:
            with kernels(deterministic=deterministic, benchmark=benchmark):
                row.run(steps)

        return Row(run, row.examples, row.most_steps)

    group.add(reference, lambda: chosen(deterministic=True, benchmark=False))
    group.add("any kernels", lambda: chosen(deterministic=False, benchmark=False))
    group.add("fastest of cuDNN", lambda: chosen(deterministic=False, benchmark=True), cuda=True)
    group.report(reference)
