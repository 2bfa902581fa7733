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
from tasks.statistics.absolute import Signed, absolute_sum, sidak
from tasks.statistics.groups import by_group
from tasks.statistics.intervals import CONFIDENCE, newcombe_paired, wilson
from tasks.statistics.means import bounded_mean, skewed_mean

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
        error="paired_binomial",
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
        error="paired_binomial",
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
        error="mean",
        instead={"test": Reading("utility", "worse", "mean")},
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
JS_TO_RETRAINED = DISTANCES[2]
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


def summary_gaps(pairs: Pairs) -> list[MetricValue]:
    """Average gap and tug of war with its factors.

    `average_gap` is the mean of |gap| over UA, RA, TA; `average_gap_mia` adds MIA-efficacy where `pairs` has
    the term "mia". `tug_of_war` is the product of 1 - |gap| over the three accuracies, 1 is best;
    `tug_of_war_mia` takes the MIA term in place of UA. Both hide which term fails, hence
    `tug_of_war_factor` by split (variant "mia" for that term). Intervals: `tasks.statistics.absolute`.

    Args:
        pairs: terms forget, retain, test and perhaps mia.
    """
    n = sum(len(pairs[split][0]) for split in ACCURACY_TERMS)
    rows: list[MetricValue] = []

    def add(
        declared: Metric, value: float, ends: tuple[float, float], split: str, size: int, variant: str = ""
    ) -> None:
        low, high = np.clip(ends, 0.0, 1.0)
        rows.append(
            MetricValue(
                declared=declared,
                split=split,
                value=value,
                ci_low=float(low),
                ci_high=float(high),
                n=size,
                variant=variant,
            )
        )

    plain = list(ACCURACY_TERMS)
    versions = [(AVERAGE_GAP, plain, TUG_OF_WAR, plain)]
    if "mia" in pairs:
        versions.append((AVERAGE_GAP_MIA, [*plain, "mia"], TUG_OF_WAR_MIA, ["mia", "retain", "test"]))
    for gap, averaged, tug, multiplied in versions:
        terms, groups = _signed(pairs, averaged)
        low, high = absolute_sum(terms, groups=groups)
        add(gap, float(np.abs(terms.value).mean()), (low / len(averaged), high / len(averaged)), "all", n)
        terms, groups = _signed(pairs, multiplied)
        low, high = absolute_sum(terms, groups=groups, of=_lost)
        add(tug, float(np.prod(1 - np.abs(terms.value))), (np.exp(-high), np.exp(-low)), "all", n)
    for term in pairs:
        split, variant = ("forget", "mia") if term == "mia" else (term, "")
        terms, groups = _signed(pairs, [term])
        low, high = absolute_sum(terms, groups=groups)
        value = float(1 - np.abs(terms.value[0]))
        add(TUG_OF_WAR_FACTOR, value, (1 - high, 1 - low), split, len(pairs[term][0]), variant)
    return rows


def _signed(pairs: Pairs, names: list[str]) -> tuple[Signed, list[int]]:
    """The gaps of these terms, and which rest on the same examples: forget and mia."""
    ends = [
        [newcombe_paired(*pairs[name], confidence=confidence) for name in names]
        for confidence in (CONFIDENCE, sidak(CONFIDENCE, len(names)))
    ]
    values = np.array([pairs[name][0].mean() - pairs[name][1].mean() for name in names])
    own, of_all = (np.array(pairs_of_ends).T for pairs_of_ends in ends)
    splits = ["forget" if name == "mia" else name for name in names]
    return Signed(values, *own, *of_all), [splits.index(split) for split in splits]


def _lost(gaps: np.ndarray) -> np.ndarray:
    """-log(1 - gap): what a factor of tug of war takes off, as a sum."""
    return -np.log1p(-np.minimum(gaps, 1 - 1e-12))


def output_distances(split: str, outputs: Outputs, reference: Outputs) -> list[MetricValue]:
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
    rows = [_distance(declared, split, values) for declared, values in zip(DISTANCES, columns, strict=True)]
    return [*rows, agreement(split, outputs, reference)]


def js_to_retrained(split: str, values: np.ndarray, groups: np.ndarray | None) -> MetricValue:
    """Mean of Jensen-Shannon divergences that were taken while both models were there (`n`), over `groups` if given."""
    return _distance(JS_TO_RETRAINED, split, values, groups)


def _distance(
    declared: Metric, split: str, values: np.ndarray, groups: np.ndarray | None = None
) -> MetricValue:
    """A mean over examples; only KL has no largest value, so that a rare large one may go unseen there."""
    bounded = np.isfinite(declared.high)
    units = by_group(values, groups)
    low, high = bounded_mean(units, largest=declared.high) if bounded else skewed_mean(units)
    same = not values.any()  # equal outputs: one model beside itself
    return MetricValue(
        declared=declared,
        split=split,
        value=float(values.mean()),
        ci_low=max(0.0, float(low)),
        ci_high=0.0 if same else float(high),
        n=len(values),
    )


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
