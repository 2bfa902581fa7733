"""What is said of documents: token accuracy, its gap to a retrained model, perplexity and extraction."""

from __future__ import annotations

from functools import partial

import numpy as np

from tasks.metrics.documents import (
    COMPARED,
    average_token_gap,
    exact_extraction,
    extraction_strength,
    perplexity,
    token_accuracy,
)
from tasks.training.scoring import Outputs
from tests.benchmarks.coverage.case import Case, Seen, one_by_one, seen

FAMILY = "documents"
LENGTHS = np.array([8, 14, 20])
"""Tokens of a document, each as frequent."""
RIGHT = np.array([0.97, 0.5])
"""Chance that a token is right, of a memorised document and of another."""
LOSS = np.array([0.1, 1.8])
"""Mean loss of a document, likewise; Gamma variables of shape 4."""
PREFIX = 5


def _documents(generator: np.random.Generator, *, n: int, memorised: float) -> dict[str, Seen]:
    """Tokens are right independently; greedy decoding writes the run of right ones that ends a document."""
    kind = (generator.random(n) >= memorised).astype(int)
    tokens = generator.choice(LENGTHS, size=n)
    right = generator.random((n, LENGTHS.max())) < RIGHT[kind][:, None]  # from the last token on
    inside = np.arange(LENGTHS.max()) < tokens[:, None]
    run = np.minimum(np.argmin(np.c_[right, np.zeros(n, bool)], axis=1), tokens)
    outputs = Outputs(
        ids=np.arange(n),
        labels=np.zeros(n, np.int64),
        logits=np.empty((n, 0), np.float32),
        statistics={
            "tokens": tokens,
            "token_accuracy": (right & inside).sum(axis=1) / tokens,
            "extraction": run / tokens,
            "loss": generator.gamma(4, LOSS[kind] / 4),
        },
    )
    kinds = np.array([memorised, 1 - memorised])
    written = RIGHT[:, None] * (1 - RIGHT[:, None] ** LENGTHS) / (1 - RIGHT[:, None]) / LENGTHS
    to_the_end = RIGHT[:, None] ** (LENGTHS - PREFIX)
    return {
        "token_accuracy": seen(token_accuracy("test", outputs), float(kinds @ RIGHT)),
        "perplexity": seen(perplexity("test", outputs), float(np.exp(kinds @ LOSS))),
        "extraction_strength": seen(
            extraction_strength("test", outputs), float(kinds @ written.mean(axis=1))
        ),
        "exact_extraction": seen(
            exact_extraction("test", outputs, PREFIX), float(kinds @ to_the_end.mean(axis=1))
        ),
    }


SIZES = {"30/170/60": (30, 170, 60), "100/900/400": (100, 900, 400)}
"""Forgotten, retained and test documents."""
CHANGES = {
    "no gap": (0.0, 0.0, 0.0),
    "gaps of .2, 0, .05": (0.2, 0.0, 0.05),
    "gaps of .3, .1, .1": (0.3, 0.1, 0.1),
}
"""By how much the chance that a token is right has fallen."""


def _beside_retrained(
    generator: np.random.Generator, *, sizes: tuple[int, ...], changes: tuple[float, ...]
) -> dict[str, Seen]:
    """Two models' tokens, right independently, on documents that both find equally hard."""
    ours, theirs = {}, {}
    for split, n, change in zip(COMPARED, sizes, changes, strict=True):
        tokens, chance = generator.choice(LENGTHS, size=n), generator.uniform(0.4, 0.9, size=n)
        for held, lost in ((ours, change), (theirs, 0.0)):
            held[split] = Outputs(
                ids=np.arange(n),
                labels=np.zeros(n, np.int64),
                logits=np.empty((n, 0), np.float32),
                statistics={"token_accuracy": generator.binomial(tokens, chance - lost) / tokens},
            )
    return {"average_token_gap": seen(average_token_gap(ours, theirs), float(np.mean(changes)))}


CASES = tuple(
    Case(
        family=FAMILY,
        name=f"{words} documents beside a retrained model's, {which}",
        estimates=("average_token_gap",),
        simulate=one_by_one(partial(_beside_retrained, sizes=sizes, changes=changes)),
        fast=200 if words == "30/170/60" else 0,
    )
    for words, sizes in SIZES.items()
    for which, changes in CHANGES.items()
) + tuple(
    Case(
        family=FAMILY,
        name=f"{n} documents, {memorised:.0%} memorised",
        estimates=("token_accuracy", "perplexity", "extraction_strength", "exact_extraction"),
        simulate=one_by_one(partial(_documents, n=n, memorised=memorised)),
        fast=200 if (n, memorised) == (120, 0.5) else 0,
    )
    for n in (36, 120, 1000)
    for memorised in (0.0, 0.1, 0.5, 0.9)
)
