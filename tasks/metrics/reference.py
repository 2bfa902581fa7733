"""An unlearned model against the retrained one on the same examples: gaps, tug of war, distances of outputs.

Average gap: SalUn (Fan et al. 2024). Tug of war and ToW-MIA: RUM (Zhao et al. 2024). Activation distance:
L2 in Bad Teacher (Chundawat et al. 2023), L1 in SCRUB (Kurmanji et al. 2023); two names, for they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Direction, Metric
from tasks.statistics.intervals import bootstrap_counts, bootstrap_mean, newcombe_paired, percentiles, wilson

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs

Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By term, what each model gets right (or calls non-member) on the same examples, two `n` bool arrays."""
ACCURACY_TERMS = {"forget": "ua", "retain": "ra", "test": "ta"}


def check_paired(split: str, outputs: Outputs, reference: Outputs) -> None:
    """Refuse two answers on different examples."""
    if not np.array_equal(outputs.ids, reference.ids):
        raise AuditError(f"{split}: the unlearned and the retrained model were scored on different examples")


def signed_gaps(pairs: Pairs) -> list[Metric]:
    """Unlearned minus retrained: ua_gap, ra_gap, ta_gap (and mia_gap); Newcombe's paired interval."""
    rows = []
    for term, (ours, theirs) in pairs.items():
        low, high = newcombe_paired(ours, theirs)
        rows.append(
            Metric(
                metric=f"{ACCURACY_TERMS.get(term, term)}_gap",
                split="forget" if term == "mia" else term,
                value=float(ours.mean() - theirs.mean()),
                ci_low=low,
                ci_high=high,
                n=len(ours),
                higher_is="closer_to_retrained",
            )
        )
    return rows


def accuracy_pairs(outputs: Mapping[str, Outputs], reference: Mapping[str, Outputs]) -> dict[str, tuple]:
    """The terms of average gap and tug of war; the forget term counts errors (UA)."""
    pairs = {}
    for split in ACCURACY_TERMS:
        ours, theirs = outputs[split].correct, reference[split].correct
        pairs[split] = (~ours, ~theirs) if split == "forget" else (ours, theirs)
    return pairs


def _absolute_gaps(
    pairs: Pairs, generator: np.random.Generator, count: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """|mean difference| by term, and its replicates; terms of one split are resampled together."""
    values = {term: float(abs(ours.mean() - theirs.mean())) for term, (ours, theirs) in pairs.items()}
    groups = [[term] for term in pairs if term not in ("forget", "mia")]
    groups.append([term for term in ("forget", "mia") if term in pairs])
    replicates = {}
    for group in groups:
        bits = np.stack([side for term in group for side in pairs[term]], axis=1).astype(np.int64)
        cells = 2 ** bits.shape[1]
        counts = np.bincount(bits @ (2 ** np.arange(bits.shape[1])), minlength=cells)
        drawn = bootstrap_counts(counts, generator=generator, count=count) / len(bits)
        patterns = (np.arange(cells)[:, None] >> np.arange(bits.shape[1])) & 1
        means = drawn @ patterns
        for k, term in enumerate(group):
            replicates[term] = np.abs(means[:, 2 * k] - means[:, 2 * k + 1])
    return values, replicates


def summary_gaps(pairs: Pairs, *, generator: np.random.Generator, count: int = 1000) -> list[Metric]:
    """Average gap and tug of war with its factors, by bootstrap over examples.

    `average_gap` is the mean of |gap| over UA, RA, TA; `average_gap_mia` adds MIA-efficacy where `pairs` has
    the term "mia". `tug_of_war` is the product of 1 - |gap| over the three accuracies, 1 is best;
    `tug_of_war_mia` takes the MIA term in place of UA. Both hide which term fails, hence
    `tug_of_war_factor` by split (variant "mia" for that term).

    Args:
        pairs: terms forget, retain, test and perhaps mia.
        generator: of the bootstrap.
        count: resamples.
    """
    values, replicates = _absolute_gaps(pairs, generator, count)
    n = sum(len(pairs[split][0]) for split in ACCURACY_TERMS)
    rows: list[Metric] = []

    def add(
        name: str,
        value: float,
        draws: np.ndarray,
        split: str,
        direction: Direction,
        size: int,
        variant: str = "",
    ) -> None:
        low, high = percentiles(draws)
        rows.append(
            Metric(
                metric=name,
                split=split,
                value=value,
                ci_low=min(value, float(low)),
                ci_high=max(value, float(high)),
                n=size,
                higher_is=direction,
                variant=variant,
            )
        )

    plain = list(ACCURACY_TERMS)
    versions = [("", plain, plain)]
    if "mia" in pairs:
        versions.append(("_mia", [*plain, "mia"], ["mia", "retain", "test"]))
    for suffix, averaged, multiplied in versions:
        mean = float(np.mean([values[t] for t in averaged]))
        add(
            f"average_gap{suffix}",
            mean,
            np.mean([replicates[t] for t in averaged], axis=0),
            "all",
            "worse",
            n,
        )
        product = float(np.prod([1 - values[t] for t in multiplied]))
        draws = np.prod([1 - replicates[t] for t in multiplied], axis=0)
        add(f"tug_of_war{suffix}", product, draws, "all", "better", n)
    for term in pairs:
        split, variant = ("forget", "mia") if term == "mia" else (term, "")
        size = len(pairs[term][0])
        add("tug_of_war_factor", 1 - values[term], 1 - replicates[term], split, "better", size, variant)
    return rows


def output_distances(
    split: str,
    outputs: Outputs,
    reference: Outputs,
    *,
    generator: np.random.Generator,
    count: int = 1000,
) -> list[Metric]:
    """Mean distances of the two predicted distributions, and how often the predictions agree.

    activation_distance_l2 and _l1: norms of p_u - p_r. js_to_retrained: Jensen-Shannon in nats (at most
    ln 2). kl_to_retrained: KL(p_r || p_u) in nats, from log-softmax, so nothing is clamped. On the test set
    they are the noise floor of those on the forget set.
    """
    ours, theirs = outputs.log_probabilities, reference.log_probabilities
    p, q = np.exp(ours), np.exp(theirs)
    middle = np.logaddexp(ours, theirs) - np.log(2)
    js = 0.5 * (p * (ours - middle) + q * (theirs - middle)).sum(axis=1)
    columns = {
        "activation_distance_l2": np.sqrt(((p - q) ** 2).sum(axis=1)),
        "activation_distance_l1": np.abs(p - q).sum(axis=1),
        "js_to_retrained": np.maximum(js, 0.0),
        "kl_to_retrained": np.maximum((q * (theirs - ours)).sum(axis=1), 0.0),
    }
    values = np.stack(list(columns.values()), axis=1)
    lows, highs = bootstrap_mean(values, generator=generator, count=count)
    rows = [
        Metric(
            metric=name,
            split=split,
            value=float(values[:, k].mean()),
            ci_low=float(lows[k]),
            ci_high=float(highs[k]),
            n=len(values),
            higher_is="worse",
        )
        for k, name in enumerate(columns)
    ]
    return [*rows, agreement(split, outputs, reference)]


def agreement(split: str, outputs: Outputs, reference: Outputs) -> Metric:
    """Share of examples on which both models predict the same class."""
    same = outputs.logits.argmax(axis=1) == reference.logits.argmax(axis=1)
    low, high = wilson(int(same.sum()), len(same))
    return Metric(
        metric="prediction_agreement",
        split=split,
        value=float(same.mean()),
        ci_low=float(low),
        ci_high=float(high),
        n=len(same),
        higher_is="better",
    )
