"""Several models at once on one card: on streams of their own, in one stack, under vmap."""

from __future__ import annotations

from functools import partial

import torch

from tests.benchmarks.gpu.session import Session
from tests.benchmarks.gpu.step import Step
from tests.benchmarks.gpu.subjects import Subject
from tests.benchmarks.gpu.timing import Row
from tests.benchmarks.gpu.together import Alone, Grouped, Vmapped
from tests.benchmarks.gpu.training import LOOP, Group, loop, stepping


def on_streams(session: Session, subject: Subject, count: int) -> Row:
    """A CUDA graph for each model, replayed on its own stream."""
    steps = [
        Step(subject, Alone(subject.build(k)), session.engine("bf16"), (k,)).capture() for k in range(count)
    ]

    def run(number: int) -> None:
        for step in steps:
            with torch.cuda.stream(step.stream):
                step.upload(number)
        for at in range(number):
            for step in steps:
                with torch.cuda.stream(step.stream):
                    step.step(at)

    return Row(run, count * subject.batch, subject.most_steps)


def in_one(session: Session, subject: Subject, kind: type[Grouped | Vmapped], count: int) -> Row:
    """One step for all models; a CUDA graph where there is a card."""
    models = kind([subject.build(k) for k in range(count)])
    step = Step(subject, models, session.engine("bf16"), range(count))
    if session.cuda:
        step.capture()
    return Row(step.run, count * subject.batch, subject.most_steps)


def several(session: Session, subject: Subject) -> None:
    """One model, and K at once in each way."""
    group = Group(session, subject)
    group.add(LOOP, lambda: loop(session, subject, "bf16"))
    group.add("1, CUDA graph", lambda: stepping(session, subject, captured=True), cuda=True)
    for count in session.sizes.stacks:
        group.add(f"{count} on streams", partial(on_streams, session, subject, count), cuda=True)
        group.add(f"{count} in one stack", partial(in_one, session, subject, Grouped, count))
        group.add(f"{count} under vmap", partial(in_one, session, subject, Vmapped, count))
    group.report(LOOP, not_counted=("stack", "vmap"))
