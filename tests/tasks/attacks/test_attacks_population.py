"""Population attacks: features by definition, held-out fits, floor and ceiling on trained models."""

import numpy as np
import pytest

from tasks.attacks.base import attacks
from tasks.attacks.population import Population, PopulationAttack
from tasks.errors import AuditError
from tasks.measure.population import (
    FEATURES,
    STATISTICS,
    balanced_fit,
    entropy,
    fit_svc,
    held_out_logits,
    modified_entropy,
    svc_margins,
)
from tasks.metrics.membership import auc, mia_efficacy
from tasks.statistics.roc import auc_interval
from tasks.training.scoring import Outputs, score
from tests.support.trained_digits import data, trained


def outputs(logits, labels, start=0):
    return Outputs.of_logits(
        ids=np.arange(start, start + len(labels)),
        labels=np.asarray(labels, dtype=np.int64),
        logits=np.asarray(logits, dtype=np.float32),
    )


def gaussian(n, confidence, *, seed, classes=4, start=0, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    logits = spread * rng.normal(size=(n, classes))
    logits[np.arange(n), labels] += confidence
    return outputs(logits, labels, start)


def test_modified_entropy_is_its_formula():
    """Trap 15 of guide/games.md: with log p for log(1 - p), public code inverts it."""
    part = gaussian(50, 1.0, seed=0)
    p = np.exp(part.log_probabilities)
    for i, y in enumerate(part.labels):
        expected = -(1 - p[i, y]) * np.log(p[i, y])
        expected -= sum(p[i, k] * np.log(1 - p[i, k]) for k in range(4) if k != y)
        assert modified_entropy(part)[i] == pytest.approx(expected, rel=1e-9)


def test_features_of_the_svc_are_what_their_names_say():
    part = gaussian(50, 1.0, seed=0)
    p = np.exp(part.log_probabilities)
    expected = {
        "svc_confidence": p[np.arange(50), part.labels],
        "svc_correctness": p.argmax(1) == part.labels,
        "svc_entropy": -(p * np.log(p)).sum(1),
        "svc_modified_entropy": modified_entropy(part),
    }
    assert FEATURES.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(FEATURES[name](part), values, rtol=1e-6, err_msg=name)


def test_modified_entropy_orders_right_below_unsure_below_wrong_even_when_saturated():
    part = outputs([[60, 0, 0], [0, 0, 0], [0, 60, 0]], [0, 0, 0])
    right, unsure, wrong = modified_entropy(part)
    assert right == pytest.approx(0, abs=1e-20)
    assert right < unsure < wrong
    assert wrong == pytest.approx(120, rel=0.02)  # -log p_y - log(1 - p_k), each about 60
    plain = entropy(part)
    assert plain[0] == pytest.approx(plain[2])


def test_held_out_logits_do_not_fit_what_they_score():
    # random labels: a fit that saw the example would rank members above
    rng = np.random.default_rng(0)
    values = []
    for seed in range(30):
        member = rng.permutation(60) < 30
        result = held_out_logits(
            rng.normal(size=60), member, draws=1, folds=5, generator=np.random.default_rng(seed)
        )
        values.append(auc_interval(result, member).value)
    assert np.mean(values) < 0.52


def test_held_out_logits_learn_the_direction():
    member = np.arange(200) < 100
    losses = np.where(member, 0.1, 2.0) + 0.05 * np.random.default_rng(1).normal(size=200)
    result = held_out_logits(losses, member, draws=2, folds=5, generator=np.random.default_rng(0))
    assert (result[member] > 0).all()
    assert (result[~member] < 0).all()


def test_fit_is_balanced_class_by_class_and_not_the_first_examples():
    retain, test = np.repeat([0, 1, 2], [500, 300, 5]), np.arange(90) % 3
    members, others = balanced_fit(retain, test, np.arange(90), most=60, generator=np.random.default_rng(0))
    assert len(members) == len(others) <= 60
    assert np.array_equal(np.bincount(retain[members]), np.bincount(test[others]))
    assert np.bincount(retain[members])[2] <= 5
    assert members.max() > 400
    assert len(set(members)) == len(members)


# the digits are ordered by writer: only a random draw gives two unseen sets of one distribution
UNSEEN = np.random.default_rng(0).permutation(np.arange(120, 1797))


@pytest.fixture(scope="module")
def memorised():
    """A network that knows 120 training examples by heart: forget and retain halves, and unseen examples."""
    model = trained(epochs=60, last=120)
    parts = (np.arange(60), np.arange(60, 120), UNSEEN[:400])
    return tuple(score(model, data().subset(ids)) for ids in parts)


def test_doing_nothing_is_found_and_an_unseen_forget_set_is_not(memorised):
    forget, retain, test = memorised
    attack = Population(draws=2)
    unseen = score(trained(epochs=60, last=120), data().subset(UNSEEN[400:800]))
    found = attack.score(forget, retain, test, generator=np.random.default_rng(0))
    floor = attack.score(unseen, retain, test, generator=np.random.default_rng(0))
    assert [s.statistic for s in found] == list(STATISTICS)
    for scores in found:
        # correctness has two values; it tells less
        least = 0.5 if scores.statistic == "svc_correctness" else 0.6
        assert auc(scores).value > least, scores.statistic
    for scores in floor:
        assert auc(scores).value == pytest.approx(0.5, abs=0.09), scores.statistic
    by_name = {s.statistic: (f, s) for f, s in zip(found, floor, strict=True)}
    nothing, unseen_scores = by_name["svc_confidence"]
    assert mia_efficacy(nothing).value < mia_efficacy(unseen_scores).value


def test_scores_keep_the_protocol(memorised):
    forget, retain, test = memorised
    lists = Population(draws=1).score(forget, retain, test, generator=np.random.default_rng(0))
    for scores in lists:
        assert scores.game == "G2-population"
        assert np.isfinite(scores.score).all()
        assert len(scores.score) == len(scores.ids) == len(scores.member)
        assert np.array_equal(scores.ids[scores.member], forget.ids)
        assert set(scores.ids[~scores.member]) <= set(test.ids)
    thresholds = {s.statistic: s.threshold for s in lists}
    assert thresholds["loss_threshold"] == pytest.approx(-retain.loss.mean())
    assert thresholds["mentr"] is None
    assert {s.statistic: s.folds for s in lists if s.folds} == {"logistic_loss": 5}
    few = Population(draws=1, statistics=("logistic_loss",))
    (scores,) = few.score(forget.at(forget.ids[:3]), retain, test, generator=np.random.default_rng(0))
    assert scores.folds == 3


def test_same_generator_same_scores(memorised):
    attack = Population(statistics=("logistic_loss", "svc_entropy"), draws=1)
    first, second = (attack.score(*memorised, generator=np.random.default_rng(3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.score, b.score)


def test_negatives_are_of_the_forgotten_classes_and_a_whole_class_may_go():
    retain = gaussian(300, 3.0, seed=1, classes=3)
    test = gaussian(400, 1.0, seed=2, classes=4, start=1000)
    forget = gaussian(400, 0.0, seed=3, start=2000)
    forget = forget.at(forget.ids[forget.labels == 3])
    lists = Population(draws=1).score(forget, retain, test, generator=np.random.default_rng(0))
    for scores in lists:
        others = test.at(scores.ids[~scores.member])
        assert set(others.labels) == {3}
        assert np.isfinite(scores.score).all()


def test_shuffled_membership_gives_one_half():
    rng = np.random.default_rng(0)
    both = gaussian(400, 1.0, seed=4)
    retain = gaussian(400, 1.0, seed=5, start=1000)
    values = {name: [] for name in STATISTICS}
    for seed in range(5):
        order = rng.permutation(both.ids)
        parts = both.at(np.sort(order[:200])), retain, both.at(np.sort(order[200:]))
        for scores in Population(draws=1).score(*parts, generator=np.random.default_rng(seed)):
            values[scores.statistic].append(auc(scores).value)
    for name, found in values.items():
        assert np.mean(found) == pytest.approx(0.5, abs=0.05), name


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_svc_is_the_literatures_fit_on_repeated_points_and_its_margins_the_librarys(digits):
    from sklearn.svm import SVC

    generator = np.random.default_rng(0)
    members, others = generator.beta(5, 1, 150).round(digits), generator.beta(3, 1, 150).round(digits)
    x = np.linspace(0, 1, 300)
    plain = SVC(C=3, kernel="rbf", gamma="auto", tol=1e-6)
    plain.fit(np.concatenate([members, others])[:, None], np.repeat([1, 0], 150))
    svc = fit_svc(members, others)
    np.testing.assert_allclose(svc_margins(svc, x), svc.decision_function(x[:, None]), atol=1e-9)
    np.testing.assert_allclose(svc_margins(svc, x), plain.decision_function(x[:, None]), atol=0.02)


def test_refusals():
    part, test = gaussian(20, 1.0, seed=6), gaussian(20, 1.0, seed=7)
    attack = Population()
    with pytest.raises(AuditError, match="needs forget examples"):
        attack.score(part.at(part.ids[:0]), part, test, generator=np.random.default_rng(0))
    with pytest.raises(AuditError, match="folds: expected at least 2"):
        Population(folds=1)
    with pytest.raises(AuditError, match="at least one"):
        Population(statistics=())


def test_registered():
    attack = attacks.build("population", {"statistics": ["mentr"]}, where="test")
    assert isinstance(attack, PopulationAttack)
    with pytest.raises(AuditError, match="svc_confidence"):
        attacks.build("population", {"statistics": ["svc_confidenc"]}, where="test")


def test_scores_betray_nothing_by_the_number_of_fits_behind_them():
    """Two-valued features on the same law: every statistic's scores must stay indistinguishable.

    A mean over 10 fits beside one over 5 takes other values, and a threshold between them would tell
    members from non-members (it once gave epsilon 1.9 where there is nothing to find).
    """
    generator = np.random.default_rng(0)

    def outputs(first: int, count: int) -> Outputs:
        labels = generator.integers(0, 3, count)
        logits = np.eye(3, dtype=np.float32)[
            np.where(generator.random(count) < 0.9, labels, (labels + 1) % 3)
        ]
        return Outputs.of_logits(ids=np.arange(first, first + count), labels=labels, logits=logits * 4)

    parts = outputs(0, 200), outputs(1000, 600), outputs(5000, 400)
    for scored in Population(statistics=("svc_correctness", "svc_confidence")).score(
        *parts, generator=generator
    ):
        members, others = scored.score[scored.member], scored.score[~scored.member]
        # Kolmogorov-Smirnov at level 1e-3: sqrt(-ln(5e-4) / 2 * (n + m) / (n m)) = 0.169
        grid = np.sort(scored.score)
        difference = np.abs(
            np.searchsorted(np.sort(members), grid, "right") / len(members)
            - np.searchsorted(np.sort(others), grid, "right") / len(others)
        )
        assert difference.max() < 0.169
