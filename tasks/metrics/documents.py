"""How well one model of documents answers, by split: token by token, and what greedy decoding writes from memory.

Documents are of equal weight whatever their length; where they belong to persons or authors, intervals are over these.
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
from tasks.statistics.groups import by_group
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
SAMPLED_EXTRACTION = Metric(
    name="sampled_extraction",
    about="chance that one of as many samples as param says goes on from a document's first tokens with its true next "
    "ones, mean over documents",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="closer_to_retrained",
    error="mean",
    instead={split: Reading("utility", "closer_to_retrained", "mean") for split in ("retain", "test")},
    margin=0.02,
    margin_because="two documents in a hundred",
)
MOST_GROUPS = 1000
"""Of a split that have a row each: more than these nobody reads, and every model would bring as many."""
EXTRACTION_METRICS = (EXTRACTION_STRENGTH, EXACT_EXTRACTION)
UTILITY_METRICS = (TOKEN_ACCURACY, PERPLEXITY)
METRICS = (*UTILITY_METRICS, AVERAGE_TOKEN_GAP, *EXTRACTION_METRICS, SAMPLED_EXTRACTION)


def token_accuracy(split: str, outputs: Outputs) -> MetricValue:
    """Mean over documents of the share of their tokens that is right."""
    return bounded(TOKEN_ACCURACY, split, outputs.statistics["token_accuracy"], groups=outputs.groups)


def token_accuracy_by_group(split: str, outputs: Outputs) -> list[MetricValue]:
    """The same of the documents of each person or author, whose number is the label; draws from that one's documents.

    None where the data name no groups, or more than `MOST_GROUPS`.
    """
    if outputs.groups is None:
        return []
    found = np.unique(outputs.groups).tolist()
    if len(found) > MOST_GROUPS:
        return []
    values = outputs.statistics["token_accuracy"]
    return [bounded(TOKEN_ACCURACY, split, values[outputs.groups == g], label=g) for g in found]


def perplexity(split: str, outputs: Outputs) -> MetricValue:
    """e to the mean of the documents' losses, and to the ends of its interval."""
    low, high = skewed_mean(by_group(outputs.loss, outputs.groups))
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
    changes = [
        by_group(outputs[split].accuracy - retrained[split].accuracy, outputs[split].groups)
        for split in COMPARED
    ]
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
        n=sum(len(outputs[split]) for split in COMPARED),
    )


def extraction_strength(split: str, outputs: Outputs) -> MetricValue:
    """Mean over documents of the share that greedy decoding writes to the end."""
    return bounded(EXTRACTION_STRENGTH, split, outputs.statistics["extraction"], groups=outputs.groups)


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
    groups = None if outputs.groups is None else outputs.groups[longer]
    exact = written[longer] >= (tokens - prefix)[longer]
    return proportion(EXACT_EXTRACTION, split, exact, param=prefix, groups=groups)


def sampled_extraction(
    split: str, chance: np.ndarray, groups: np.ndarray | None, *, samples: int
) -> MetricValue:
    """Mean over documents of the chance that some sample is the true text.

    Args:
        split: of the documents.
        chance: of each, `n`, in [0, 1].
        groups: of whom each is, `n`; None: each stands for itself.
        samples: of each document.
    """
    return bounded(SAMPLED_EXTRACTION, split, chance, param=samples, groups=groups)
