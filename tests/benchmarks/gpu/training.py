"""How fast one model trains: the loop as it is, and each change that a card might reward."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tasks.runtime.devices import Precision
from tasks.training.resident import ResidentData
from tasks.training.train import make_optimizer, train
from tests.benchmarks.gpu.counting import Traffic, flops
from tests.benchmarks.gpu.machine import COPY, GEMM, copy_rate, gemm_rate, references
from tests.benchmarks.gpu.session import Session
from tests.benchmarks.gpu.step import Step, seed_path
from tests.benchmarks.gpu.subjects import Subject
from tests.benchmarks.gpu.timing import Row, Timing, side_by_side
from tests.benchmarks.gpu.together import Alone

LOOP = "loop as it is, bf16"
"""What the others are compared with."""
PEER_WORKERS = 8


def loop(session: Session, subject: Subject, precision: Precision) -> Row:
    """`tasks.training.train`, an epoch of the steps asked for."""
    engine, model = session.engine(precision), subject.build(0)

    def run(steps: int) -> None:
        subset = subject.examples(steps)
        train(model, subset, subject.recipe, seed_path=seed_path(0), engine=engine)

    return Row(run, subject.batch, subject.most_steps)


def stepping(session: Session, subject: Subject, *, compiled: bool = False, captured: bool = False) -> Row:
    """The step in bf16, whose draws are uploaded once an epoch."""
    step = Step(subject, Alone(subject.build(0), compiled=compiled), session.engine("bf16"))
    if captured:
        step.capture()
    return Row(step.run, subject.batch, subject.most_steps)


class HostImages(Dataset):
    """Examples on the host, each cropped and mirrored by itself, as data sets of the field have it."""

    def __init__(self, data: ResidentData) -> None:
        self.images, self.labels = data.images.cpu(), data.labels.cpu()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        side = self.images.shape[-1]
        top, left, mirrored = (int(torch.randint(high, ())) for high in (9, 9, 2))
        image = F.pad(self.images[index], (4,) * 4)[:, top : top + side, left : left + side]
        return (image.flip(-1) if mirrored else image).float() / 255, self.labels[index]


def peers(session: Session, subject: Subject) -> Row:
    """A DataLoader with workers, float32, a wait each step."""
    model, recipe = subject.build(0).train(), subject.recipe
    optimizer = make_optimizer(
        model.parameters(), recipe.optimizer, lr=recipe.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    workers = {"num_workers": PEER_WORKERS, "persistent_workers": True} if session.cuda else {}
    loader = DataLoader(HostImages(subject.data), recipe.batch_size, shuffle=True, drop_last=True, **workers)

    def steps() -> Iterator[None]:
        while True:
            for images, labels in loader:
                loss = F.cross_entropy(model(images.to(session.device)), labels.to(session.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()
                yield

    endless = steps()
    return Row(lambda count: list(islice(endless, count)), subject.batch)


class Group:
    """Rows of one subject: prepared one by one, timed in turn, reported as rates and shares of what is possible."""

    def __init__(self, session: Session, subject: Subject) -> None:
        self.session, self.subject = session, subject
        self.rows: dict[str, Row] = {}

    def add(self, name: str, prepare: Callable[[], Row], *, cuda: bool = False) -> None:
        """Prepare a row and run it once, so that it compiles, captures and takes its memory."""
        session = self.session

        def prepared() -> Row:
            before = 0
            if session.cuda:
                torch.cuda.reset_peak_memory_stats(session.device)
                before = torch.cuda.memory_allocated(session.device)
            row = prepare()
            row.run(1)
            session.synchronise()
            peak = torch.cuda.max_memory_allocated(session.device) if session.cuda else before
            return Row(row.run, row.examples, row.most_steps, (peak - before) / 2**30)

        row = session.attempt(name, prepared, cuda=cuda)
        if row is not None:
            self.rows[name] = row

    def report(self, reference: str, *, not_counted: tuple[str, ...] = ()) -> None:
        """Time all rows; a figure each, with the ratio to `reference`.

        Args:
            reference: name of a row.
            not_counted: words in names of rows whose traffic is not that of the eager step.
        """
        session, subject = self.session, self.subject
        arithmetic = session.attempt("arithmetic", lambda: flops(subject))
        traffic = session.attempt("traffic", lambda: _traffic(session, subject))
        timed = side_by_side(session, {**references(session), **self.rows})
        ceilings = [timed.pop(name, None) for name in (GEMM, COPY)]
        base = timed.get(reference)
        for name, timing in timed.items():
            rate = self.rows[name].examples / timing.seconds
            values = {f"{subject.unit}/s": rate, "models/min": 60 * rate / subject.model_examples}
            if base is not None:
                values["times the reference"] = rate * base.seconds / self.rows[reference].examples
            if arithmetic and ceilings[0]:
                values["% of bf16 GEMM"] = 100 * rate * arithmetic / gemm_rate(session, ceilings[0])
            if traffic and ceilings[1] and not any(word in name for word in not_counted):
                values["% of bandwidth"] = 100 * rate * traffic / copy_rate(session, ceilings[1])
            session.figure(name, values | self._costs(name, timing), f"spread {100 * timing.spread:.0f} %")
        self.rows.clear()

    def _costs(self, name: str, timing: Timing) -> dict[str, float]:
        costs = {"ms a step": 1e3 * timing.seconds, "ms of the host": 1e3 * timing.host}
        return costs | ({"GiB": self.rows[name].gib} if self.session.cuda else {})


def _traffic(session: Session, subject: Subject) -> float:
    """Bytes an example that the operators of an eager bf16 step read and write."""
    step = Step(subject, Alone(subject.build(0)), session.engine("bf16"))
    step.run(1)
    with Traffic() as traffic:
        step.run(1)
    return traffic.bytes / subject.batch


def training(session: Session, subject: Subject, *, compiled: bool = True, with_peers: bool = False) -> None:
    """One model at a time."""
    group = Group(session, subject)
    group.add(LOOP, lambda: loop(session, subject, "bf16"))
    for precision in get_args(Precision):
        if precision != "bf16":
            group.add(f"loop as it is, {precision}", lambda p=precision: loop(session, subject, p))
    group.add("an epoch uploaded at once", lambda: stepping(session, subject))
    group.add("CUDA graph", lambda: stepping(session, subject, captured=True), cuda=True)
    if compiled:
        group.add("compiled", lambda: _compiling(session, subject), cuda=True)
        both = "compiled, CUDA graph"
        group.add(both, lambda: stepping(session, subject, compiled=True, captured=True), cuda=True)
    if with_peers:
        group.add("peers' loop", lambda: peers(session, subject))
    others = ("compiled", "peers", *(f"is, {p}" for p in get_args(Precision) if p != "bf16"))
    group.report(LOOP, not_counted=others)


def _compiling(session: Session, subject: Subject) -> Row:
    """Compile, and say how long it took for this model and for another of the same network."""
    for name in ("compiling the first model", "compiling the next model"):
        began = time.monotonic()
        row = stepping(session, subject, compiled=True)
        row.run(1)
        session.synchronise()
        session.figure(name, {"s": time.monotonic() - began})
    return row
