"""Measuring trained models: how exact logits are by precision, and how long adversarial attacks take."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from tasks.attacks.adversarial import Adversarial
from tasks.attacks.pixel_attacks import PGD, AutoAttack
from tasks.measure.attacked import predict
from tasks.objectives.base import Batch
from tasks.runtime.modes import evaluating
from tasks.runtime.seeding import torch_generator
from tasks.training.train import train
from tests.benchmarks.gpu.machine import float32_as
from tests.benchmarks.gpu.session import Session
from tests.benchmarks.gpu.step import seed_path
from tests.benchmarks.gpu.subjects import Subject
from tests.benchmarks.gpu.timing import Row, side_by_side

SCORING_BATCH = 1024
CHECKED = 512
"""Examples whose logits are compared with those of float64."""
NEXT_TO_NOTHING = 1e-6
"""A radius within which no example falls: every part of AutoAttack attacks every example, the most it can cost."""


def trained(session: Session, subject: Subject) -> nn.Module:
    """A model after some steps: statistics of its batch norms are of data, its logits spread."""
    model = subject.build(0)
    steps = min(5 * session.sizes.steps, subject.most_steps)
    recipe, engine = replace(subject.recipe, epochs=2), session.engine("bf16")
    train(model, subject.examples(steps), recipe, seed_path=seed_path(0), engine=engine)
    return model


def scoring(session: Session, subject: Subject) -> None:
    """Images scored a second by precision, and the error of logits and of the statistic that attacks read."""
    model = session.attempt("training a model to score", lambda: trained(session, subject))
    if model is None:
        return
    data = subject.data
    ids = torch.arange(min(CHECKED, len(data.labels)), device=session.device)
    some = Batch(data.inputs(ids), data.labels[ids], ids)
    full = ids.new_tensor(range(min(SCORING_BATCH, len(data.labels))))
    exact = session.attempt("float64", lambda: _logits(copy.deepcopy(model).double(), some.inputs.double()))
    if exact is None:
        return
    session.figure(
        "float64", {"standard deviation of a logit": float(exact.std())}, "what the others are held to"
    )
    rows: dict[str, Row] = {}
    errors: dict[str, dict[str, float]] = {}
    for name, (kind, dtype, cuda) in PRECISIONS.items():

        def logits(images: Tensor, kind=kind, dtype=dtype) -> Tensor:
            with ExitStack() as stack:
                for context in _precision(session, kind, dtype):
                    stack.enter_context(context)
                return _logits(model, images)

        found = session.attempt(name, lambda: _errors(logits, some, exact, subject), cuda=cuda)
        if found is not None:
            errors[name] = found
            run: Callable[[int], list[Tensor]] = lambda steps, f=logits: [  # noqa: E731
                f(data.inputs(full)) for _ in range(steps)
            ]
            rows[name] = Row(run, len(full))
    for name, timing in side_by_side(session, rows).items():
        session.figure(name, {**errors[name], f"{subject.unit}/s": rows[name].examples / timing.seconds})


PRECISIONS: dict[str, tuple[Literal["ieee", "tf32"], torch.dtype | None, bool]] = {
    "float32": ("ieee", None, False),
    "tf32": ("tf32", None, True),
    "bf16": ("ieee", torch.bfloat16, False),
    "fp16": ("ieee", torch.float16, True),
}
"""Products of float32, the type of the body, and whether it needs a card."""


def _precision(
    session: Session, kind: Literal["ieee", "tf32"], dtype: torch.dtype | None
) -> list[AbstractContextManager]:
    cast = torch.autocast(session.device.type, dtype or torch.bfloat16, enabled=dtype is not None)
    return [float32_as(kind), cast]


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    """Of a classifier without its last cast, so that float64 stays what it is."""
    with evaluating(model), torch.no_grad():
        return model.body(model.normalise(images))


def _errors(
    logits: Callable[[Tensor], Tensor], some: Batch, exact: Tensor, subject: Subject
) -> dict[str, float]:
    found, objective = logits(some.inputs), subject.data.objective
    phi = [objective.statistics(outputs, some)["phi"] for outputs in (found, exact)]
    return {
        "largest error of a logit": float((found.double() - exact).abs().max()),
        "largest error of phi": float((phi[0] - phi[1]).abs().max()),
    }


def attacking(session: Session, subject: Subject) -> None:
    """Seconds an example, in full float32: PGD at 8/255, and AutoAttack where it has to do all of its work."""
    model = session.attempt("training a model to attack", lambda: trained(session, subject))
    if model is None:
        return
    data, sizes = subject.data, session.sizes
    ids = torch.arange(len(data.labels), device=session.device)[: 16 * sizes.attacked]
    images, labels = data.inputs(ids), data.labels[ids]
    held = (predict(model, images) == labels).nonzero().flatten()[: sizes.attacked]
    if not len(held):
        return session.missing("attacks", "left out: the model got no example right")
    long = PGD(steps=2 * sizes.attack_steps, restarts=1)
    short = AutoAttack(steps=sizes.attack_steps, queries=sizes.attack_queries)
    works: dict[str, tuple[Adversarial, float]] = {
        f"pgd, {long.steps} steps": (long, 8 / 255),
        f"autoattack, {short.steps} steps, {short.queries} queries": (short, NEXT_TO_NOTHING),
    }
    for name, (attack, eps) in works.items():
        run = _attack(session, model, attack, images[held], labels[held], eps)
        found = session.attempt(name, run)
        if found is not None:
            values = {"s an example": found[0] / len(held), "% withstand": 100 * found[1]}
            session.figure(name, values, f"{len(held)} examples at once, eps {eps:.2g}")


def _attack(
    session: Session, model: nn.Module, attack: Adversarial, images: Tensor, labels: Tensor, eps: float
) -> Callable[[], tuple[float, float]]:
    def run() -> tuple[float, float]:
        """Seconds, and the share that withstood; after a short attack on as many, which sets the kernels up."""
        generator = torch_generator("gpu benchmark", "attack")
        with float32_as("ieee"):
            PGD(steps=1).perturb(model, images, labels, eps=eps, generator=generator)
            session.synchronise()
            began = time.perf_counter()
            moved = attack.perturb(model, images, labels, eps=eps, generator=generator)
            session.synchronise()
            seconds = time.perf_counter() - began
        return seconds, float((predict(model, moved) == labels).float().mean())

    return run
