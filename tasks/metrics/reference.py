"""An unlearned model against the retrained one on the same examples: gaps, tug of war, distances of outputs.

Average gap: SalUn (Fan et al. 2024). Tug of war and ToW-MIA: RUM (Zhao et al. 2024). Activation distance:
L2 in Bad Teacher (Chundawat et al. 2023), L1 in SCRUB (Kurmanji et al. 2023); two names, for they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import AuditError
from tasks.metrics.base import Metric, MetricValue, Reading
from tasks.metrics.utility import ANSWERS, ANSWERS_BECAUSE
from tasks.statistics.intervals import bootstrap_counts, bootstrap_mean, newcombe_paired, percentiles, wilson

if TYPE_CHECKING:
    from tasks.training.scoring import Outputs

Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By term, what each model gets right (or calls non-member) on the same examples, two `n` bool arrays."""
ACCURACY_TERMS = {"forget": "ua", "retain": "ra", "test": "ta"}
GAPS = {
    term: Metric(
        name=f"{name}_gap",
        about=f"{about}, unlearned minus retrained model",
        low=-1,
        high=1,
        kind="forgetting" if term in ("forget", "mia") else "utility",
        higher_is="closer_to_retrained",
        error="paired_binomial",
        compares=True,
        margin=ANSWERS,
        margin_because=ANSWERS_BECAUSE,
    )
    for term, name, about in (
        ("forget", "ua", "share of wrong answers on the forget set"),
        ("retain", "ra", "accuracy on the retain set"),
        ("test", "ta", "accuracy on the test set"),
        ("mia", "mia", "share of the forget set that an SVC calls non-member"),
    )
}
"""By term."""
AVERAGE_GAP, AVERAGE_GAP_MIA = (
    Metric(
        name=name,
        about=f"mean of the absolute gaps of {terms}",
        low=0,
        high=1,
        kind="forgetting",
        higher_is="worse",
        error="bootstrap",
        compares=True,
        margin=ANSWERS,
        margin_because=ANSWERS_BECAUSE,
    )
    for name, terms in (("average_gap", "UA, RA and TA"), ("average_gap_mia", "UA, RA, TA and MIA-efficacy"))
)
TUG_OF_WAR, TUG_OF_WAR_MIA, TUG_OF_WAR_FACTOR = (
    Metric(
        name=name,
        about=about,
        low=0,
        high=1,
        kind="forgetting",
        higher_is="better",
        error="bootstrap",
        compares=True,
        margin=margin,
        margin_because=because,
    )
    for name, about, margin, because in (
        ("tug_of_war", "product of 1 - |gap| of UA, RA and TA", 0.06, "three gaps of 0.02 each: 1 - 0.98^3"),
        ("tug_of_war_mia", "tug_of_war with MIA-efficacy in place of UA", 0.06, "three gaps of 0.02 each"),
        ("tug_of_war_factor", "1 - |gap| of one term", ANSWERS, ANSWERS_BECAUSE),
    )
)
DISTANCES = tuple(
    Metric(
        name=name,
        about=f"mean {about} between the outputs of the unlearned and of the retrained model",
        low=0,
        high=high,
        kind="forgetting",
        higher_is="worse",
        error="bootstrap",
        instead={"test": Reading("utility", "worse", "bootstrap")},
        compares=True,
        margin=None,
        margin_because="two retrained models are not at distance 0 either, and how far depends on the data: read it "
        "against retrain_again",
    )
    for name, about, high in (
        ("activation_distance_l2", "L2 distance", 2**0.5),
        ("activation_distance_l1", "L1 distance", 2.0),
        ("js_to_retrained", "Jensen-Shannon divergence in nats", float(np.log(2))),
        ("kl_to_retrained", "KL(retrained || unlearned) in nats", float("inf")),
    )
)
PREDICTION_AGREEMENT = Metric(
    name="prediction_agreement",
    about="share of examples on which the unlearned and the retrained model predict the same class",
    low=0,
    high=1,
    kind="forgetting",
    higher_is="better",
    error="binomial",
    instead={"test": Reading("utility", "better", "binomial")},
    compares=True,
    margin=None,
    margin_because="two retrained models do not always agree either, and how often depends on the data: read it "
    "against retrain_again",
)
METRICS = (
    *GAPS.values(),
    AVERAGE_GAP,
    AVERAGE_GAP_MIA,
    TUG_OF_WAR,
    TUG_OF_WAR_MIA,
    TUG_OF_WAR_FACTOR,
    *DISTANCES,
    PREDICTION_AGREEMENT,
)


def check_paired(split: str, outputs: Outputs, reference: Outputs) -> None:
    """Refuse two answers on different examples."""
    if not np.array_equal(outputs.ids, reference.ids):
        raise AuditError(f"{split}: the unlearned and the retrained model were scored on different examples")


def signed_gaps(pairs: Pairs) -> list[MetricValue]:
    """Unlearned minus retrained: ua_gap, ra_gap, ta_gap (and mia_gap); Newcombe's paired interval."""
    rows = []
    for term, (ours, theirs) in pairs.items():
        low, high = newcombe_paired(ours, theirs)
        rows.append(
            MetricValue(
                declared=GAPS[term],
                split="forget" if term == "mia" else term,
                value=float(ours.mean() - theirs.mean()),
                ci_low=low,
                ci_high=high,
                n=len(ours),
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


def summary_gaps(pairs: Pairs, *, generator: np.random.Generator, count: int = 1000) -> list[MetricValue]:
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
    rows: list[MetricValue] = []

    def add(
        declared: Metric, value: float, draws: np.ndarray, split: str, size: int, variant: str = ""
    ) -> None:
        low, high = percentiles(draws)
        rows.append(
            MetricValue(
                declared=declared,
                split=split,
                value=value,
                ci_low=min(value, float(low)),
                ci_high=max(value, float(high)),
                n=size,
                variant=variant,
            )
        )

    plain = list(ACCURACY_TERMS)
    versions = [(AVERAGE_GAP, plain, TUG_OF_WAR, plain)]
    if "mia" in pairs:
        versions.append((AVERAGE_GAP_MIA, [*plain, "mia"], TUG_OF_WAR_MIA, ["mia", "retain", "test"]))
    for gap, averaged, tug, multiplied in versions:
        mean = float(np.mean([values[t] for t in averaged]))
        add(gap, mean, np.mean([replicates[t] for t in averaged], axis=0), "all", n)
        product = float(np.prod([1 - values[t] for t in multiplied]))
        add(tug, product, np.prod([1 - replicates[t] for t in multiplied], axis=0), "all", n)
    for term in pairs:
        split, variant = ("forget", "mia") if term == "mia" else (term, "")
        size = len(pairs[term][0])
        add(TUG_OF_WAR_FACTOR, 1 - values[term], 1 - replicates[term], split, size, variant)
    return rows


def output_distances(
    split: str,
    outputs: Outputs,
    reference: Outputs,
    *,
    generator: np.random.Generator,
    count: int = 1000,
) -> list[MetricValue]:
    """Mean distances of the two predicted distributions, and how often the predictions agree.

    activation_distance_l2 and _l1: norms of p_u - p_r. js_to_retrained: Jensen-Shannon in nats (at most
    ln 2). kl_to_retrained: KL(p_r || p_u) in nats, from log-softmax, so nothing is clamped. On the test set
    they are the noise floor of those on the forget set.
    """
    ours, theirs = outputs.log_probabilities, reference.log_probabilities
    p, q = np.exp(ours), np.exp(theirs)
    middle = np.logaddexp(ours, theirs) - np.log(2)
    js = 0.5 * (p * (ours - middle) + q * (theirs - middle)).sum(axis=1)
    columns = (
        np.sqrt(((p - q) ** 2).sum(axis=1)),
        np.abs(p - q).sum(axis=1),
        np.maximum(js, 0.0),
        np.maximum((q * (theirs - ours)).sum(axis=1), 0.0),
    )
    values = np.stack(columns, axis=1)
    lows, highs = bootstrap_mean(values, generator=generator, count=count)
    rows = [
        MetricValue(
            declared=declared,
            split=split,
            value=float(values[:, k].mean()),
            ci_low=float(lows[k]),
            ci_high=float(highs[k]),
            n=len(values),
        )
        for k, declared in enumerate(DISTANCES)
    ]
    return [*rows, agreement(split, outputs, reference)]


def agreement(split: str, outputs: Outputs, reference: Outputs) -> MetricValue:
    """Share of examples on which both models predict the same class."""
    same = outputs.logits.argmax(axis=1) == reference.logits.argmax(axis=1)
    low, high = wilson(int(same.sum()), len(same))
    return MetricValue(
        declared=PREDICTION_AGREEMENT,
        split=split,
        value=float(same.mean()),
        ci_low=float(low),
        ci_high=float(high),
        n=len(same),
    )
