"""Assembly of metric rows: what is there, what is left out and why, controls on trained models."""

import numpy as np
import pytest

from tasks.attacks.pixel_attacks import FGSM
from tasks.attacks.population import Population
from tasks.errors import AuditError
from tasks.measure.evaluate import Settings, membership_metrics, model_metrics, robust_metrics
from tasks.measure.robustness import robust_outputs
from tasks.training.scoring import score
from tests.support.trained_digits import data, trained

RANDOM = np.random.default_rng(0).permutation(1797)
SPLITS = {
    "forget": RANDOM[:60],
    "retain": RANDOM[60:400],
    "test": RANDOM[400:800],
    "validation": RANDOM[800:900],
}
SETTINGS = Settings(bootstrap=50, mia_examples=100)


@pytest.fixture(scope="module")
def two():
    models = trained(), trained(seed=1, epochs=2)
    return [
        {split: score(model, data().subset(np.sort(ids))) for split, ids in SPLITS.items()}
        for model in models
    ]


def names(rows):
    return {(row.metric, row.split) for row in rows}


def check(rows):
    for row in rows:
        assert np.isfinite(row.value), row
        assert row.n >= 1
        if row.ci_low is not None:
            assert row.ci_low <= row.value + 1e-12, row
        if row.ci_high is not None:
            assert row.ci_high >= row.value - 1e-12, row
    keys = [(r.metric, r.split, r.param, r.label, r.game, r.variant) for r in rows]
    assert len(set(keys)) == len(keys)


def test_model_metrics_are_complete(two):
    ours, theirs = two
    rows = model_metrics(ours, theirs, forgotten_classes=(3,), settings=SETTINGS)
    check(rows)
    found = names(rows)
    for split in SPLITS:
        assert {("accuracy", split), ("class_accuracy_gap", split)} <= found
    assert {("ua", "forget"), ("ra", "retain"), ("ta", "test")} <= found
    assert {("ua_gap", "forget"), ("ra_gap", "retain"), ("ta_gap", "test"), ("mia_gap", "forget")} <= found
    assert {
        (name, "all") for name in ("average_gap", "average_gap_mia", "tug_of_war", "tug_of_war_mia")
    } <= found
    for name in ("activation_distance_l1", "activation_distance_l2", "js_to_retrained", "kl_to_retrained"):
        assert {(name, "forget"), (name, "test")} <= found
    assert {("ta_retained_classes", "test"), ("ta_forgotten_classes", "test")} <= found


def test_without_a_reference_nothing_is_compared(two):
    rows = model_metrics(two[0], None, settings=SETTINGS)
    check(rows)
    assert {row.metric for row in rows} == {"accuracy", "class_accuracy_gap", "ua", "ra", "ta"}


def test_the_retrained_model_as_a_method_scores_gap_zero(two):
    rows = model_metrics(two[1], two[1], settings=SETTINGS)
    values = {row.metric: row.value for row in rows if row.split in ("all", "forget")}
    for name in ("average_gap", "average_gap_mia", "ua_gap", "mia_gap", "activation_distance_l2"):
        assert values[name] == pytest.approx(0, abs=1e-12)
    assert values["tug_of_war"] == values["tug_of_war_mia"] == values["prediction_agreement"] == 1


def test_same_settings_same_rows(two):
    assert model_metrics(*two, settings=SETTINGS) == model_metrics(*two, settings=SETTINGS)


def test_an_empty_split_is_left_out_with_a_reason(two):
    ours, theirs = two
    empty = ours["forget"].at(ours["forget"].ids[:0])
    left_out = []
    rows = model_metrics(
        {**ours, "forget": empty}, {**theirs, "forget": empty}, settings=SETTINGS, omit=left_out.append
    )
    check(rows)
    assert "forget" not in {row.split for row in rows}
    assert "average_gap" not in {row.metric for row in rows}
    assert {(o.metric, o.reason) for o in left_out} >= {
        ("accuracy", "the forget split is empty"),
        ("average_gap", "no examples of the forget split under both models"),
    }


def test_absent_splits_and_unpaired_models_are_refused(two):
    ours, theirs = two
    with pytest.raises(AuditError, match="no outputs for the test split"):
        model_metrics({k: v for k, v in ours.items() if k != "test"}, None)
    with pytest.raises(AuditError, match="different examples"):
        model_metrics(ours, {**theirs, "test": theirs["validation"]})


def test_robust_metrics():
    attack = FGSM(eps=(0.05, 0.1))
    parts = [
        {
            split: robust_outputs(attack, model, data().subset(SPLITS[split]), seed_path=("t",))
            for split in ("forget", "test")
        }
        for model in (trained(), trained(seed=1, epochs=2))
    ]
    rows = robust_metrics(parts[0], parts[1])
    check(rows)
    curve = [r for r in rows if r.metric == "robust_accuracy" and r.split == "test" and r.label is None]
    assert [r.param for r in curve] == [0.0, 0.05, 0.1]
    by_class = [
        r for r in rows if r.metric == "robust_accuracy" and r.split == "test" and r.label is not None
    ]
    assert len(by_class) == 30
    assert sum(r.value * r.n for r in by_class if r.param == 0.1) == pytest.approx(
        curve[2].value * curve[2].n
    )
    (area,) = [r for r in rows if r.metric == "robust_accuracy_area" and r.split == "test"]
    values = [r.value for r in curve]
    assert area.value == pytest.approx((values[0] + 2 * values[1] + values[2]) / 4)
    gaps = [r.value for r in rows if r.metric == "robust_accuracy_gap" and r.split == "test"]
    other = parts[1]["test"].correct.mean(axis=1)
    np.testing.assert_allclose(gaps, np.subtract(values, other))


def test_robust_metrics_refuse_unpaired_examples_and_note_empty_splits():
    model, attack = trained(), FGSM(eps=(0.0,))
    part = robust_outputs(attack, model, data().subset(SPLITS["forget"]), seed_path=("t",))
    other = robust_outputs(attack, model, data().subset(SPLITS["test"]), seed_path=("t",))
    none = robust_outputs(attack, model, data().subset(np.arange(0)), seed_path=("t",))
    with pytest.raises(AuditError, match="attacked on different examples"):
        robust_metrics({"test": part}, {"test": other})
    left_out = []
    rows = robust_metrics({"test": part, "forget": none}, omit=left_out.append)
    assert {row.split for row in rows} == {"test"}
    assert [o.reason for o in left_out] == ["needs a radius above 0", "the forget split is empty"]


def test_membership_metrics_leave_out_what_the_data_cannot_show(two):
    ours = two[0]
    scored = Population(draws=1).score(
        ours["forget"], ours["retain"], ours["test"], generator=np.random.default_rng(0)
    )
    left_out = []
    rows = membership_metrics(scored, settings=SETTINGS, omit=left_out.append)
    check(rows)
    assert all(row.game == "G2-population" for row in rows)
    assert {row.param for row in rows if row.metric == "tpr_at_fpr"} == {0.01, 0.1}
    assert "tpr_at_fpr=0.001:mentr" in {o.metric for o in left_out}
    assert any("400 non-members cannot resolve" in o.reason for o in left_out)
    assert {r.variant for r in rows if r.metric == "mia_efficacy"} == {
        s.statistic for s in scored if s.statistic.startswith("svc_")
    }
    crossed = [row.variant for row in rows if row.metric == "cross_validated_accuracy"]
    assert crossed == ["loss_threshold"]
    assert "mentr" not in {row.variant for row in rows if row.metric == "balanced_accuracy"}
    assert membership_metrics(scored, settings=SETTINGS) == rows


@pytest.mark.parametrize("values", [{"bootstrap": 1}, {"delta": -1.0}, {"fprs": (0.0,)}])
def test_settings_are_checked(values):
    with pytest.raises(AuditError, match=next(iter(values))):
        Settings(**values)
