"""Shares of right answers, of one model or of two on the same examples, and the largest difference between classes."""

from __future__ import annotations

from functools import partial

import numpy as np

from tasks.metrics.reference import agreement
from tasks.metrics.robustness import (
    RobustOutputs,
    robust_accuracies,
    robust_area,
    robust_gaps,
    zero_gradient_shares,
)
from tasks.metrics.utility import (
    ACCURACY,
    RA,
    TA,
    TA_FORGOTTEN,
    TA_RETAINED,
    UA,
    class_accuracy_gap,
    proportion,
)
from tasks.training.scoring import Outputs
from tests.benchmarks.coverage.case import Case, Seen, one_by_one, seen

FAMILY = "proportions"
SHARES = (ACCURACY, UA, RA, TA, TA_RETAINED, TA_FORGOTTEN)
EDGE = 0.17
"""Expected misses at which Wilson's interval, as he gave it, covers .84."""
SHAPES = {
    "equal at .9": lambda count: np.full(count, 0.9),
    "equal at .6": lambda count: np.full(count, 0.6),
    "even from .6 to .95": lambda count: np.linspace(0.6, 0.95, count),
    "one at .7, the others at .95": lambda count: np.r_[0.7, np.full(count - 1, 0.95)],
    "half at .8, half at .95": lambda count: np.repeat([0.8, 0.95], [count // 2, count - count // 2]),
    "even from .9 to .93": lambda count: np.linspace(0.9, 0.93, count),
    "one forgotten, at 0": lambda count: np.r_[0.0, np.full(count - 1, 0.9)],
}


def answers(labels: np.ndarray, correct: np.ndarray) -> Outputs:
    """Outputs of which nothing but the answers is read."""
    empty = np.empty((len(labels), 0), dtype=np.float32)
    return Outputs(ids=np.arange(len(labels)), labels=labels, logits=empty, statistics={"correct": correct})


def _shares(generator: np.random.Generator, *, n: int, share: float) -> dict[str, Seen]:
    """Each of the shares on a sample of its own; agreement from predictions that differ where answers do."""
    drawn = {
        metric.name: seen(proportion(metric, "test", generator.random(n) < share), share) for metric in SHARES
    }
    same = generator.random(n) < share
    logits = np.stack([same, ~same], axis=1).astype(np.float32)
    ours, theirs = (
        Outputs(ids=np.arange(n), labels=np.zeros(n, np.int64), logits=z, statistics={})
        for z in (logits, np.tile([1.0, 0.0], (n, 1)).astype(np.float32))
    )
    return drawn | {"prediction_agreement": seen(agreement("test", ours, theirs), share)}


def _class_gap(generator: np.random.Generator, *, n: int, rates: np.ndarray) -> dict[str, Seen]:
    labels = np.repeat(np.arange(len(rates)), n)
    row = class_accuracy_gap("test", answers(labels, generator.random(len(labels)) < rates[labels]))
    return {"class_accuracy_gap": seen(row, float(np.ptp(rates)))}


def _robust(generator: np.random.Generator, *, n: int, falls: tuple[float, ...]) -> dict[str, Seen]:
    """Two models under attack at four radii; `falls`: share that first errs at each, the rest at none.

    The gradient vanishes at three of ten images.
    """
    eps, stages = np.array([0.0, 0.01, 0.02, 0.04]), np.arange(5)
    chances = np.r_[falls, 1 - sum(falls)]
    first = generator.choice(5, size=n, p=chances)
    other = np.where(generator.random(n) < 0.7, first, generator.choice(5, size=n, p=chances))
    ids = np.arange(n)
    ours, theirs = (
        RobustOutputs(
            ids=ids,
            labels=ids * 0,
            eps=eps,
            correct=part[None] > np.arange(4)[:, None],
            predictions=ids[None],
            blind=generator.random(n) < 0.3,
        )
        for part in (first, other)
    )
    holds = (stages[None] > np.arange(4)[:, None]).astype(float)
    area = float(np.trapezoid(holds, eps, axis=0) / eps[-1] @ chances)
    whole = [row for row in robust_accuracies("test", ours) if row.label is None][2]
    return {
        "robust_accuracy": seen(whole, float(chances[stages > 2].sum())),
        "zero_gradient_share": seen(
            zero_gradient_shares("test", ours)[2], 0.3 * float(chances[stages > 2].sum())
        ),
        "robust_accuracy_area": seen(robust_area("test", ours), area),
        "robust_accuracy_gap": seen(robust_gaps("test", ours, theirs)[2], 0.0),
    }


CASES = (
    *(
        Case(
            family=FAMILY,
            name=f"{n} examples, share {share:.6g}",
            estimates=(*(metric.name for metric in SHARES), "prediction_agreement"),
            simulate=one_by_one(partial(_shares, n=n, share=share)),
            fast=200 if (n, share) == (120, 0.9) else 0,
        )
        for n in (12, 36, 120, 1000, 20_000)
        for share in (0.5, 0.9, 1 - EDGE / n)
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{count} classes of {n} examples: {shape}",
            estimates=("class_accuracy_gap",),
            simulate=one_by_one(partial(_class_gap, n=n, rates=rates(count))),
            fast=300 if (count, n, shape) == (10, 100, "equal at .6") else 0,
        )
        for count, n in (
            (2, 36),
            (10, 6),
            (10, 36),
            (10, 100),
            (10, 1000),
            (100, 36),
            (100, 100),
            (100, 1000),
        )
        for shape, rates in SHAPES.items()
    ),
    *(
        Case(
            family=FAMILY,
            name=f"{n} attacked examples, {words}",
            estimates=(
                "robust_accuracy",
                "robust_accuracy_area",
                "robust_accuracy_gap",
                "zero_gradient_share",
            ),
            simulate=one_by_one(partial(_robust, n=n, falls=falls)),
            fast=100 if (n, words) == (100, "most hold") else 0,
        )
        for n in (36, 100, 1000)
        for words, falls in (
            ("most hold", (0.02, 0.01, 0.01, 0.02)),
            ("half fall", (0.1, 0.1, 0.2, 0.2)),
            ("nearly all fall", (0.1, 0.5, 0.3, 0.09)),
        )
    ),
)
