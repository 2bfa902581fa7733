"""Statistics of membership scores: closed forms, controls, and refusals."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.errors import AuditError
from tasks.metrics.membership import (
    auc,
    balanced_accuracy,
    cross_validated_accuracy,
    epsilon_lower_bound,
    mia_efficacy,
    tpr_at_fpr,
)
from tasks.metrics.scores import MembershipScores
from tasks.statistics.epsilon import epsilon_from_counts


def scores(score, member, *, threshold=None, statistic="loss_threshold", game="G2-population"):
    score = np.asarray(score, dtype=np.float64)
    return MembershipScores(
        statistic=statistic,
        game=game,
        ids=np.arange(len(score)),
        member=np.asarray(member, dtype=bool),
        score=score,
        threshold=threshold,
    )


def shifted(shift, n=400, seed=0, **kwargs):
    member = np.arange(2 * n) < n
    return scores(np.random.default_rng(seed).normal(size=2 * n) + shift * member, member, **kwargs)


def test_auc_names_its_game_statistic_and_split():
    row = auc(shifted(1.0))
    assert (row.metric, row.split, row.game, row.variant) == (
        "auc",
        "forget",
        "G2-population",
        "loss_threshold",
    )
    assert row.ci_low < row.value < row.ci_high
    assert auc(shifted(1.0, game="G3")).split == "retain"
    assert auc(shifted(1.0, game="G0")).split == "all"


@pytest.mark.parametrize(("folds", "by"), [(5, 1.5), (2, np.sqrt(3))])
def test_fits_that_judge_each_others_examples_widen_every_interval(folds, by):
    """Nadeau and Bengio: 1 + k / (k - 1) times the variance; the ends stay within [0, 1]."""
    apart = shifted(0.5, threshold=0.25)
    crossed = replace(apart, folds=folds)
    for measure in (auc, balanced_accuracy, *(lambda s, i=i: tpr_at_fpr(s, 0.1)[i] for i in (0, 1))):
        one, other = measure(apart), measure(crossed)
        assert other.value == one.value
        assert other.value - other.ci_low == pytest.approx(by * (one.value - one.ci_low))
        assert other.ci_high - other.value == pytest.approx(by * (one.ci_high - one.value))
    assert auc(replace(shifted(100.0, n=5), folds=folds)).ci_high == 1.0
    assert auc(replace(shifted(100.0, n=3), folds=folds)).ci_low >= 0.0


def test_shuffled_membership_gives_one_half():
    rng = np.random.default_rng(1)
    base = shifted(2.0)
    held = 0
    for _ in range(100):
        row = auc(scores(base.score, rng.permutation(base.member)))
        held += row.ci_low <= 0.5 <= row.ci_high
    assert held >= 88


def test_perfect_separation_gives_one():
    assert auc(shifted(100.0)).value == 1.0
    assert balanced_accuracy(shifted(100.0, threshold=50.0)).value == 1.0


def test_balanced_accuracy_by_hand_ignores_the_class_ratio():
    row = balanced_accuracy(scores([3, 1, 0, 2, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], threshold=1.5))
    assert row.value == pytest.approx((1 / 2 + 5 / 6) / 2)
    assert row.ci_low < row.value < row.ci_high


def test_balanced_accuracy_needs_the_attacks_own_threshold():
    with pytest.raises(AuditError, match="fixed no threshold"):
        balanced_accuracy(shifted(1.0))


def test_tpr_at_fpr_by_hand():
    # negatives 0..19; 10 % allows two above the threshold
    values = scores([*range(20), 17.5, 18.5, 3, 30], [0] * 20 + [1] * 4)
    rate, realised = tpr_at_fpr(values, 0.1)
    assert (rate.value, rate.n, rate.param) == (0.75, 4, 0.1)
    assert (realised.value, realised.n) == (0.1, 20)
    assert realised.ci_low == pytest.approx(0.0123, abs=1e-4)
    assert realised.ci_high == pytest.approx(0.3170, abs=1e-4)


def test_realised_fpr_never_exceeds_what_was_asked_under_ties():
    rng = np.random.default_rng(2)
    for _ in range(50):
        values = scores(rng.integers(0, 4, 60), np.arange(60) < 20)
        for fpr in (0.05, 0.3, 0.9):
            assert tpr_at_fpr(values, fpr)[1].value <= fpr


def test_rates_that_no_count_can_show_are_refused():
    with pytest.raises(AuditError, match=r"400 non-members cannot resolve an FPR of 0\.001"):
        tpr_at_fpr(shifted(1.0), 0.001)


def test_eight_of_four_hundred_has_the_published_interval():
    # guide/games.md#intervals: 8/400 has Clopper-Pearson [0.9 %, 3.9 %]
    _, realised = tpr_at_fpr(shifted(0.0), 0.02)
    assert realised.value == 0.02
    assert (realised.ci_low, realised.ci_high) == pytest.approx((0.009, 0.039), abs=6e-4)


@pytest.mark.parametrize(
    ("members", "others", "expected"), [(64, 128, 3.50), (128, 128, 3.53), (512, 512, 4.93)]
)
def test_epsilon_ceilings(members, others, expected):
    bound = epsilon_from_counts(np.array(members), members, np.array(0), others, delta=1e-5)
    assert float(bound) == pytest.approx(expected, abs=0.006)


def test_epsilon_reaches_its_ceiling_under_perfect_separation_of_either_sign():
    for shift in (100.0, -100.0):
        bound, ceiling = epsilon_lower_bound(shifted(shift), generator=np.random.default_rng(3))
        assert bound.value == pytest.approx(ceiling.value)
        assert ceiling.value == pytest.approx(epsilon_from_counts_at(200), abs=1e-9)


def epsilon_from_counts_at(n):
    return float(epsilon_from_counts(np.array(n), n, np.array(0), n, delta=1e-5))


def test_epsilon_of_identical_distributions_is_zero_but_for_its_error_rate():
    above = sum(
        epsilon_lower_bound(shifted(0.0, n=100, seed=s), generator=np.random.default_rng(s))[0].value > 0
        for s in range(100)
    )
    assert above <= 5


def test_epsilon_stays_below_the_truth():
    # randomised response at epsilon 1: the bound may exceed it in 5 % of runs
    truth, above = 1.0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        member = np.arange(2000) < 1000
        honest = rng.random(2000) < np.exp(truth) / (1 + np.exp(truth))
        values = scores(np.where(honest, member, ~member), member)
        above += epsilon_lower_bound(values, generator=rng)[0].value > truth
    assert above <= 8


def test_mia_efficacy_is_the_share_of_members_called_non_member():
    row = mia_efficacy(scores([1, -1, -2, 0, 5], [1, 1, 1, 1, 0], threshold=0.0, statistic="svc_confidence"))
    assert (row.value, row.n, row.higher_is) == (0.75, 4, "closer_to_retrained")


def test_cross_validated_accuracy_is_half_for_equal_and_high_for_distinct_losses():
    assert cross_validated_accuracy(shifted(0.0), generator=np.random.default_rng(4)).value == pytest.approx(
        0.5, abs=0.05
    )
    row = cross_validated_accuracy(shifted(4.0), generator=np.random.default_rng(4))
    assert row.value == pytest.approx(0.977, abs=0.02)  # Phi(2)
    assert row.n == 800


def test_cross_validated_accuracy_balances():
    member = np.arange(1000) < 50
    row = cross_validated_accuracy(scores(np.zeros(1000), member), generator=np.random.default_rng(5))
    assert row.value == pytest.approx(0.5, abs=0.01)
    assert row.n == 100


def test_one_sided_scores_are_refused():
    with pytest.raises(AuditError, match="members and non-members"):
        auc(scores([1, 2], [1, 1]))
    with pytest.raises(AuditError, match="10 members"):
        cross_validated_accuracy(shifted(0.0, n=5), generator=np.random.default_rng(0))
