"""The truth ratio by its definition, and the distance of two distributions of it."""

import numpy as np
import pytest
from scipy import stats

from tasks.attacks.truth_ratio import TruthRatio
from tasks.attacks.views import ModelView
from tasks.contracts import check_attack
from tasks.contracts.small_views import SETTINGS, small_source
from tasks.metrics.truth_ratio import log_ratios
from tasks.statistics.distributions import ks_distance


def test_a_truth_ratio_is_the_mean_of_the_wrong_over_the_right_in_other_words():
    loss = np.array([1.0, 2.0, 3.0, 0.5, 900.0, 901.0])
    example = np.array([3, 3, 3, 3, 8, 8])
    right = np.array([False, True, False, False, True, False])
    wrong = np.exp(-loss[[0, 2, 3]]).mean()
    found = log_ratios(loss, example, right)
    assert np.exp(found[0]) == pytest.approx(wrong / np.exp(-2.0))
    assert found[1] == pytest.approx(-1.0)  # far below what float64 can hold


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    rng = np.random.default_rng(0)
    for first, second in (
        (rng.normal(size=40), rng.normal(0.5, 2, size=40)),
        (rng.integers(5, size=30).astype(float), rng.integers(7, size=30).astype(float)),
    ):
        found = ks_distance(first, second, generator=rng, resamples=200)
        assert found.value == pytest.approx(stats.ks_2samp(first, second).statistic)
        assert found.low <= found.value <= found.high
    same = ks_distance(first, first, generator=rng)
    assert same == (0.0, 0.0, 0.0)


def test_copies_of_a_question_say_nothing_more():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 25))
    once = ks_distance(first, second, generator=np.random.default_rng(2))
    copied = [np.repeat(part, 6) for part in (first, second)]
    groups = np.repeat(np.arange(25), 6)
    many = ks_distance(*copied, groups=groups, generator=np.random.default_rng(2))
    assert many == pytest.approx(once)
    alone = ks_distance(*copied, generator=np.random.default_rng(2))
    assert alone.high - alone.low < 0.6 * (many.high - many.low)
    one = ks_distance(first, second, groups=np.zeros(25, int), generator=np.random.default_rng(2))
    assert one == once  # of one author: over its questions


def test_the_attack_reads_questions_with_other_answers_split_by_split():
    attack = TruthRatio()
    check_attack(attack)
    source = small_source(attack)
    found = attack.measure(ModelView(attack, source, name="truth_ratio", settings=SETTINGS))
    rows = {(row.metric, row.split): row for row in found.metrics}
    assert set(rows) == {
        (m, s) for m in ("truth_ratio", "truth_ratio_distance") for s in ("forget", "retain")
    }
    answers, losses = source.alternatives(), source.alternative_losses()
    ids = source.outputs()["forget"].ids
    ratios = [
        np.exp(-losses[(answers.example == i) & ~answers.right]).mean()
        / np.exp(-losses[(answers.example == i) & answers.right][0])
        for i in ids
    ]
    expected = np.mean(np.minimum(ratios, 1 / np.array(ratios)))
    assert rows["truth_ratio", "forget"].value == pytest.approx(expected)
    others = source.reference_alternative_losses()
    theirs = log_ratios(others, answers.example, answers.right)[ids]
    distance = stats.ks_2samp(np.log(ratios), theirs).statistic
    assert rows["truth_ratio_distance", "forget"].value == pytest.approx(distance)
