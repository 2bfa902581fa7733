"""How well one model of documents answers, by split: token by token, and what greedy decoding writes from memory.

Units are documents, each of equal weight whatever its length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Metric, MetricValue, Reading
from tasks.metrics.utility import bounded, proportion
from tasks.statistics.absolute import Signed, absolute_sum, sidak
from tasks.statistics.intervals import CONFIDENCE
from tasks.statistics.means import skewed_mean

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs

COMPARED = ("forget", "retain", "test")
"""Splits on which a model is put beside the retrained one."""
TOKEN_ACCURACY = Metric(
    name="token_accuracy",
    about="share of a document's tokens that the model finds likeliest given the true ones before them, mean over "
    "documents",
    low=0,
    high=1,
    kind="utility",
    higher_is="better",
    error="mean",
    instead={"forget": Reading("forgetting", "closer_to_retrained", "mean")},
    margin=0.02,
    margin_because="two tokens in a hundred: about one of a document of the generated corpus in two",
)
PERPLEXITY = Metric(
    name="perplexity",
    about="e to the mean loss of a document's tokens, mean over documents: 1 is certainty",
    low=1,
    high=math.inf,
    kind="utility",
    higher_is="worse",
    error="mean",
    instead={"forget": Reading("forgetting", "closer_to_retrained", "mean")},
    margin=None,
    margin_because="how far two retrained models are apart depends on the text: read it against retrain_again",
)
EXTRACTION_STRENGTH = Metric(
    name="extraction_strength",
    about="1 - k / n with the shortest prefix of k tokens from which greedy decoding writes a document of n tokens to "
    "its end, mean over documents; 0: not even the last token",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="mean",
    instead={split: Reading("utility", "closer_to_retrained", "mean") for split in ("retain", "test")},
    margin=0.05,
    margin_because="one token of a document of the generated corpus",
)
EXACT_EXTRACTION = Metric(
    name="exact_extraction",
    about="share of documents that greedy decoding writes to their end from their first tokens, whose number is param",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="binomial",
    instead={split: Reading("utility", "closer_to_retrained", "binomial") for split in ("retain", "test")},
    margin=0.02,
    margin_because="two documents in a hundred",
)
AVERAGE_TOKEN_GAP = Metric(
    name="average_token_gap",
    about="mean of the absolute differences in token accuracy on forget, retain and test documents, unlearned and "
    "retrained model",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="worse",
    error="mean",
    compares=True,
    margin=0.02,
    margin_because="two tokens in a hundred, as of token_accuracy",
)
EXTRACTION_METRICS = (EXTRACTION_STRENGTH, EXACT_EXTRACTION)
UTILITY_METRICS = (TOKEN_ACCURACY, PERPLEXITY)
METRICS = (*UTILITY_METRICS, AVERAGE_TOKEN_GAP, *EXTRACTION_METRICS)


def token_accuracy(split: str, outputs: Outputs) -> MetricValue:
    """Mean over documents of the share of their tokens that is right."""
    return bounded(TOKEN_ACCURACY, split, outputs.statistics["token_accuracy"])


def perplexity(split: str, outputs: Outputs) -> MetricValue:
    """e to the mean of the documents' losses, and to the ends of its interval."""
    low, high = skewed_mean(outputs.loss)
    return MetricValue(
        declared=PERPLEXITY,
        split=split,
        value=float(np.exp(outputs.loss.mean())),
        ci_low=max(1.0, float(np.exp(low))),
        ci_high=float(np.exp(high)),
        n=len(outputs),
    )


def average_token_gap(outputs: Mapping[str, Outputs], retrained: Mapping[str, Outputs]) -> MetricValue:
    """Mean over the splits of the absolute difference of two models' token accuracy on the same documents.

    Intervals of the signed differences are Hall's, of their absolute values those of `tasks.statistics.absolute`.

    Args:
        outputs: by split, forget, retain and test; none is empty.
        retrained: the same documents under the retrained model.
    """
    changes = [outputs[split].accuracy - retrained[split].accuracy for split in COMPARED]
    own, of_all = (
        np.array([skewed_mean(change, confidence=confidence) for change in changes]).T
        for confidence in (CONFIDENCE, sidak(CONFIDENCE, len(COMPARED)))
    )
    signed = Signed(np.array([change.mean() for change in changes]), *own, *of_all)
    low, high = np.clip(np.array(absolute_sum(signed, groups=range(len(COMPARED)))) / len(COMPARED), 0.0, 1.0)
    return MetricValue(
        declared=AVERAGE_TOKEN_GAP,
        split="all",
        value=float(np.abs(signed.value).mean()),
        ci_low=float(low),
        ci_high=float(high),
        n=sum(len(change) for change in changes),
    )


def extraction_strength(split: str, outputs: Outputs) -> MetricValue:
    """Mean over documents of the share that greedy decoding writes to the end."""
    return bounded(EXTRACTION_STRENGTH, split, outputs.statistics["extraction"])


def exact_extraction(split: str, outputs: Outputs, prefix: int) -> MetricValue:
    """Share of the documents longer than a prefix that greedy decoding writes to their end from it.

    Args:
        split: of the documents.
        outputs: of the model on them.
        prefix: tokens that are given, besides the one that begins every document.

    Raises:
        AuditError: no document is longer.
    """
    tokens = outputs.statistics["tokens"]
    longer = tokens > prefix
    if not longer.any():
        raise AuditError(
            f"{EXACT_EXTRACTION.name} on {split}: expected documents of more than {prefix} tokens, and the longest has "
            f"{int(tokens.max(initial=0))}"
        )
    written = np.rint(outputs.statistics["extraction"] * tokens).astype(np.int64)
    return proportion(EXACT_EXTRACTION, split, written[longer] >= (tokens - prefix)[longer], param=prefix)
