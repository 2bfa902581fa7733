"""Accuracies and gaps to the retrained model: by hand, at identity, and in their intervals."""

import numpy as np
import pytest

from tasks.errors import AuditError
from tasks.metrics.reference import (
    accuracy_pairs,
    check_paired,
    output_distances,
    signed_gaps,
    summary_gaps,
)
from tasks.metrics.utility import (
    ACCURACY,
    accuracies,
    accuracy_by_forgetting,
    class_accuracy_gap,
    proportion,
    unlearning_accuracies,
)
from tasks.training.scoring import Outputs


def rng(seed=0):
    return np.random.default_rng(seed)


def with_accuracy(correct, labels=None, start=0):
    correct = np.asarray(correct, dtype=bool)
    labels = np.zeros(len(correct), np.int64) if labels is None else np.asarray(labels)
    predicted = np.where(correct, labels, (labels + 1) % 4)
    logits = np.zeros((len(correct), 4), np.float32)
    logits[np.arange(len(correct)), predicted] = 2.0
    return Outputs.of_logits(ids=np.arange(start, start + len(correct)), labels=labels, logits=logits)


def hits(right, n):
    return np.arange(n) < right


def by_name(rows):
    return {(row.metric, row.split, row.label, row.variant): row for row in rows}


def test_accuracies_by_split_and_class():
    rows = by_name(accuracies("test", with_accuracy([1, 1, 0, 1], [0, 0, 0, 2])))
    assert rows["accuracy", "test", None, ""].value == 0.75
    assert rows["accuracy", "test", 0, ""].value == pytest.approx(2 / 3)
    assert rows["accuracy", "test", 2, ""].n == 1
    assert ("accuracy", "test", 1, "") not in rows
    assert rows["accuracy", "test", None, ""].higher_is == "better"
    assert accuracies("forget", with_accuracy([1]))[0].higher_is == "closer_to_retrained"


def test_unlearning_accuracy_counts_errors_on_the_forget_set():
    rows = by_name(
        unlearning_accuracies(
            with_accuracy(hits(3, 10)), with_accuracy(hits(9, 10)), with_accuracy(hits(8, 10))
        )
    )
    values = [
        rows[name, split, None, ""].value
        for name, split in (("ua", "forget"), ("ra", "retain"), ("ta", "test"))
    ]
    assert values == [0.7, 0.9, 0.8]


def test_class_wise_forgetting_separates_the_test_set():
    test = with_accuracy([1, 1, 0, 0, 1], [0, 1, 2, 2, 2])
    rows = by_name(accuracy_by_forgetting(test, [2]))
    assert rows["ta_retained_classes", "test", None, ""].value == 1.0
    assert rows["ta_forgotten_classes", "test", None, ""].value == pytest.approx(1 / 3)


def test_class_gap_and_its_interval():
    labels = np.repeat([0, 1], 200)
    correct = np.concatenate([hits(180, 200), hits(120, 200)])
    row = class_accuracy_gap("test", with_accuracy(correct, labels))
    assert row.value == pytest.approx(0.3)
    half = 1.96 * np.sqrt(0.9 * 0.1 / 200 + 0.6 * 0.4 / 200)
    assert (row.ci_low, row.ci_high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.02)
    assert row.higher_is == "worse"


def test_class_gap_of_equal_classes_reaches_zero():
    labels = np.repeat(np.arange(4), 100)
    correct = rng(1).random(400) < 0.8
    row = class_accuracy_gap("test", with_accuracy(correct, labels))
    assert row.ci_low == 0.0
    with pytest.raises(AuditError, match="at least 2 classes, got 1"):
        class_accuracy_gap("test", with_accuracy([1, 0]))


def test_an_empty_selection_is_an_error_not_a_nan():
    with pytest.raises(AuditError, match="accuracy on test: no examples"):
        proportion(ACCURACY, "test", np.zeros(0, bool))


# SalUn table 1, CIFAR-10, 10 % random: UA, RA, TA, MIA and the printed average gap (arXiv 2310.12508)
RETRAINED = (5.24, 100.00, 94.26, 12.88)
PUBLISHED = {
    "FT": ((0.63, 99.88, 94.06, 2.70), 3.78),
    "RL": ((7.61, 99.67, 92.83, 37.36), 7.15),
    "GA": ((0.69, 99.50, 94.01, 1.70), 4.12),
    "l1": ((4.19, 97.74, 91.59, 9.84), 2.26),
    "SalUn": ((2.85, 99.62, 93.93, 14.39), 1.15),
}


def published_pairs(row):
    n = 10_000
    terms = zip(("forget", "retain", "test", "mia"), row, RETRAINED, strict=True)
    return {name: (hits(round(a * 100), n), hits(round(b * 100), n)) for name, a, b in terms}


@pytest.mark.parametrize("method", PUBLISHED)
def test_average_gap_recomputes_published_rows(method):
    row, printed = PUBLISHED[method]
    rows = by_name(summary_gaps(published_pairs(row)))
    assert 100 * rows["average_gap_mia", "all", None, ""].value == pytest.approx(printed, abs=0.0051)
    three = np.abs(np.subtract(row, RETRAINED))[:3].mean()
    assert 100 * rows["average_gap", "all", None, ""].value == pytest.approx(three, abs=1e-6)


def test_tug_of_war_is_the_product_of_its_factors():
    rows = by_name(summary_gaps(published_pairs(PUBLISHED["l1"][0])))
    factors = {
        (split, variant): rows["tug_of_war_factor", split, None, variant].value
        for split, variant in (("forget", ""), ("retain", ""), ("test", ""), ("forget", "mia"))
    }
    assert factors["forget", ""] == pytest.approx(1 - 0.0105)
    product = factors["forget", ""] * factors["retain", ""] * factors["test", ""]
    assert rows["tug_of_war", "all", None, ""].value == pytest.approx(product)
    product = factors["forget", "mia"] * factors["retain", ""] * factors["test", ""]
    assert rows["tug_of_war_mia", "all", None, ""].value == pytest.approx(product)


def test_without_the_mia_term_its_metrics_are_absent():
    pairs = {k: v for k, v in published_pairs(PUBLISHED["FT"][0]).items() if k != "mia"}
    names = {row.metric for row in summary_gaps(pairs)}
    assert names == {"average_gap", "tug_of_war", "tug_of_war_factor"}


def test_the_retrained_model_scores_gap_zero_against_itself():
    part = with_accuracy(rng(2).random(50) < 0.6)
    outputs = {"forget": part, "retain": part, "test": part}
    pairs = accuracy_pairs(outputs, outputs)
    assert all(row.value == 0 for row in signed_gaps(pairs))
    rows = by_name(summary_gaps(pairs))
    gap, tow = rows["average_gap", "all", None, ""], rows["tug_of_war", "all", None, ""]
    # fifty examples on which two models agree leave room for a gap
    assert (gap.value, gap.ci_low) == (0, 0) < (gap.ci_high, 1)
    assert (tow.value, tow.ci_high) == (1, 1) > (tow.ci_low, 0)
    for row in output_distances("forget", part, part):
        assert row.value == (1 if row.metric == "prediction_agreement" else pytest.approx(0, abs=1e-12))


def test_signed_gaps_keep_their_sign_and_pairing():
    ours, theirs = rng(3).random(400) < 0.9, None
    theirs = ours.copy()
    theirs[:20] = True
    outputs = {"forget": with_accuracy(ours), "retain": with_accuracy(ours), "test": with_accuracy(theirs)}
    retrained = {
        "forget": with_accuracy(theirs),
        "retain": with_accuracy(theirs),
        "test": with_accuracy(ours),
    }
    rows = by_name(signed_gaps(accuracy_pairs(outputs, retrained)))
    lost = float(theirs.mean() - ours.mean())
    assert lost > 0
    assert rows["ua_gap", "forget", None, ""].value == pytest.approx(lost)
    assert rows["ra_gap", "retain", None, ""].value == pytest.approx(-lost)
    assert rows["ta_gap", "test", None, ""].value == pytest.approx(lost)
    assert rows["ra_gap", "retain", None, ""].ci_high - rows["ra_gap", "retain", None, ""].ci_low < 0.03


def test_average_gap_interval_agrees_with_an_explicit_bootstrap_where_no_gap_is_near_zero():
    generator = rng(4)
    pairs = {
        name: (generator.random(300) < p, generator.random(300) < q)
        for name, p, q in (("forget", 0.3, 0.1), ("retain", 0.99, 0.9), ("test", 0.7, 0.9), ("mia", 0.5, 0.2))
    }
    row = by_name(summary_gaps(pairs))["average_gap_mia", "all", None, ""]
    draws = []
    for _ in range(2000):
        rows = {name: generator.integers(300, size=300) for name in ("forget", "retain", "test")}
        rows["mia"] = rows["forget"]
        draws.append(np.mean([abs(a[rows[k]].mean() - b[rows[k]].mean()) for k, (a, b) in pairs.items()]))
    # errors of forget and mia, which here are independent, are added as if they were one
    low, high = np.quantile(draws, [0.025, 0.975])
    assert row.ci_low == pytest.approx(low, abs=0.02)
    assert row.ci_high == pytest.approx(high, abs=0.02)
    assert row.ci_low < low < high < row.ci_high


def test_a_factor_is_the_signed_gap_folded():
    pairs = published_pairs(PUBLISHED["RL"][0])
    (ta,) = (row for row in signed_gaps(pairs) if row.metric == "ta_gap")
    factor = by_name(summary_gaps(pairs))["tug_of_war_factor", "test", None, ""]
    assert ta.ci_high < 0
    assert (factor.ci_low, factor.ci_high) == pytest.approx((1 + ta.ci_low, 1 + ta.ci_high))


def test_distances_by_hand():
    def two(p):
        logits = np.log(np.array([p, [0.5, 0.5]], dtype=np.float32))
        return Outputs.of_logits(ids=np.arange(2), labels=np.zeros(2, np.int64), logits=logits)

    rows = {r.metric: r.value for r in output_distances("forget", two([0.9, 0.1]), two([0.2, 0.8]))}
    p, q = np.array([0.9, 0.1]), np.array([0.2, 0.8])
    middle = (p + q) / 2
    js = 0.5 * (p * np.log(p / middle)).sum() + 0.5 * (q * np.log(q / middle)).sum()
    assert rows["activation_distance_l2"] == pytest.approx(0.7 * 2**0.5 / 2, rel=1e-5)
    assert rows["activation_distance_l1"] == pytest.approx(1.4 / 2, rel=1e-5)
    assert rows["js_to_retrained"] == pytest.approx(js / 2, rel=1e-5)
    assert rows["kl_to_retrained"] == pytest.approx((q * np.log(q / p)).sum() / 2, rel=1e-5)
    assert rows["prediction_agreement"] == 0.5


def test_js_is_bounded_by_ln_2_and_kl_finite_at_opposite_certainty():
    a = np.array([[300.0, 0.0]], np.float32)
    certain = [
        Outputs.of_logits(ids=np.arange(1), labels=np.zeros(1, np.int64), logits=z) for z in (a, a[:, ::-1])
    ]
    rows = {r.metric: r.value for r in output_distances("test", *certain)}
    assert rows["js_to_retrained"] == pytest.approx(np.log(2))
    assert rows["kl_to_retrained"] == pytest.approx(300)


def test_models_scored_on_different_examples_are_refused():
    with pytest.raises(AuditError, match=r"forget: .*different examples"):
        check_paired("forget", with_accuracy([1, 0]), with_accuracy([1, 0], start=5))
