"""Where documents belong together the unit is the group: copies say nothing that one of them does not."""

import numpy as np
import pytest

from tasks.metrics import documents, membership
from tasks.metrics.scores import MembershipScores
from tasks.statistics.groups import by_group, independent_number, one_of_each, share_interval
from tasks.statistics.intervals import wilson
from tasks.statistics.means import bounded_mean, skewed_mean
from tasks.statistics.roc import auc_interval
from tasks.training.scoring import Outputs

COPIES = 4


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_values_of_groups_have_the_mean_of_the_examples_and_of_equal_sizes_are_means(rng):
    x, groups = rng.random(30), np.repeat(np.arange(10), 3)
    assert by_group(x, groups) == pytest.approx(x.reshape(10, 3).mean(axis=1))
    unequal = np.repeat(np.arange(4), [1, 2, 3, 8])
    values = by_group(x[:14], rng.permutation(10)[:4][unequal])
    assert len(values) == 4
    assert values.mean() == pytest.approx(x[:14].mean())
    assert by_group(x, None) is x


def test_the_spread_over_unequal_groups_is_at_least_the_jackknife_s(rng):
    groups = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 9])
    x = rng.random(24)
    left_out = [x[groups != g].mean() for g in range(6)]
    jackknife = np.sqrt(5 / 6 * np.square(np.array(left_out) - np.mean(left_out)).sum())
    found = by_group(x, groups).std(ddof=1) / np.sqrt(6)
    assert jackknife < found < 1.2 * jackknife


def test_one_group_is_what_its_documents_are_drawn_from(rng):
    x, groups = rng.random(9), np.full(9, 3)
    assert np.array_equal(by_group(x, groups), x)
    assert share_interval(x > 0.5, groups) == wilson(int((x > 0.5).sum()), 9)
    assert independent_number(groups, 9) == 9


def test_examples_count_as_often_as_there_are_groups_at_most():
    assert independent_number(None, 7) == 7
    assert independent_number(np.repeat(np.arange(5), 8), 40) == pytest.approx(5)
    assert independent_number(np.arange(12), 12) == pytest.approx(12)
    assert independent_number(np.repeat([0, 1], [1, 99]), 100) == pytest.approx(1e4 / 9802)


def test_one_of_each_group_is_drawn_at_random(rng):
    groups = np.array([5, 2, 5, 2, 9, 5])
    drawn = {tuple(one_of_each(groups, rng).tolist()) for _ in range(200)}
    assert all(sorted(groups[list(rows)]) == [2, 5, 9] and sorted(rows) == list(rows) for rows in drawn)
    assert len(drawn) == 6


def of_documents(x, copies):
    n = len(x) * copies
    statistics = {
        "loss": np.repeat(-np.log(x), copies),
        "token_accuracy": np.repeat(x, copies),
        "extraction": np.repeat(np.floor(12 * x) / 12, copies),
        "tokens": np.full(n, 12),
    }
    return Outputs(
        ids=np.arange(n),
        labels=np.zeros(n, np.int64),
        logits=np.empty((n, 0), np.float32),
        statistics=statistics,
        groups=np.repeat(np.arange(len(x)), copies) if copies > 1 else None,
    )


def test_copies_of_documents_leave_every_interval_of_a_mean_as_it_is(rng):
    x = rng.random(20)
    once, copied = of_documents(x, 1), of_documents(x, COPIES)
    for measure in (documents.token_accuracy, documents.perplexity, documents.extraction_strength):
        one, many = measure("test", once), measure("test", copied)
        assert (one.value, one.ci_low, one.ci_high) == pytest.approx((many.value, many.ci_low, many.ci_high))
        assert many.n == COPIES * one.n
    one = documents.exact_extraction("test", copied, 5)
    assert (one.ci_low, one.ci_high) == pytest.approx(bounded_mean(np.floor(12 * x) >= 7))
    with_half = skewed_mean(by_group(copied.loss[::2], copied.groups[::2]))
    assert with_half == pytest.approx(skewed_mean(once.loss))


def of_scores(score, member, copies):
    return MembershipScores(
        statistic="loss_threshold",
        game=membership.POPULATION_GAME,
        ids=np.arange(len(score) * copies),
        member=np.repeat(member, copies),
        score=np.repeat(score, copies),
        threshold=0.4,
        groups=np.repeat(np.arange(len(score)), copies) if copies > 1 else None,
    )


def test_copies_leave_every_interval_of_an_attack_as_it_is(rng):
    score, member = rng.normal(size=60), np.arange(60) < 25
    score[member] += 0.8
    once, copied = (of_scores(score, member, copies) for copies in (1, COPIES))

    def rows(scores):
        rate, realised = membership.tpr_at_fpr(scores, 0.1)
        bounds = membership.epsilon_lower_bound(scores, generator=np.random.default_rng(0))
        return [membership.auc(scores), rate, realised, bounds[1]]

    for one, many in zip(rows(once), rows(copied), strict=True):
        found = [(row.value, row.ci_low or 0.0, row.ci_high or 0.0) for row in (one, many)]
        assert found[0] == pytest.approx(found[1]), one.metric
    for measure in (membership.balanced_accuracy, membership.mia_efficacy):
        one, many = measure(once), measure(copied)
        assert one.value == many.value
        widths = [row.ci_high - row.ci_low for row in (one, many)]
        assert widths[0] == pytest.approx(widths[1], rel=0.15)
    narrow = membership.balanced_accuracy(MembershipScores(**{**vars(copied), "groups": None}))
    assert narrow.ci_high - narrow.ci_low < 0.6 * widths[1]


def test_a_group_with_members_and_others_widens_the_area_s_interval(rng):
    score, member = rng.normal(size=40), np.arange(40) < 20
    apart, shared = np.arange(40), np.tile(np.arange(20), 2)
    alone, both = (auc_interval(score, member, groups=groups) for groups in (apart, shared))
    assert alone == pytest.approx(auc_interval(score, member))
    assert both.low < alone.low
    assert both.high > alone.high
